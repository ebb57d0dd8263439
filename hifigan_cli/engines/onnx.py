"""The onnxruntime engine: fast kernels from the registry, without torch and without a compiler.

onnxruntime shares out one layer among threads by blocks of channels, of which V2 and V3 have too
few: a second thread gains them nothing, and V1 half. So here threads share out *time*: the mel is
cut into pieces that carry the exact context, and each thread takes whole pieces. Threads then wait
for each other once a piece and not once a layer, and the samples are the same.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.config.architecture import context_frames
from hifigan_cli.errors import DeviceError, UsageError
from hifigan_cli.runtime.threads import available_threads

if TYPE_CHECKING:
    import onnxruntime

    from hifigan_cli.models.model_file import ModelFile
    from hifigan_cli.types import FloatArray

PACKAGES = ("onnx", "onnxruntime")
# Measured frame for frame with the repeated context: from 256 to 1024 frames all presets are within
# 5 % of their best, and memory grows by 0.3 MB a frame and thread (V1). A piece of a chunk has
# context within it, so that the longest piece is a little longer.
CHUNK_FRAMES = 256  # a thread
_LONGEST_PIECE = 320


def missing() -> str | None:
    """Say what this engine lacks on this machine, and what to install; None: nothing."""
    absent = [name for name in PACKAGES if find_spec(name) is None]
    if not absent:
        return None
    return f"{' and '.join(absent)} not installed: pip install 'hifigan-cli[onnx]'"


class OnnxEngine:
    """A generator in onnxruntime, on the CPU."""

    name = "onnx"
    precision = "fp32"

    def __init__(
        self, model: ModelFile, precision: str = "fp32", threads: int | None = None
    ) -> None:
        """Make a session of a model's weights.

        Raises:
            UsageError: another precision than fp32, or a package is missing.
        """
        if precision != self.precision:
            raise UsageError(
                f"the onnx engine has no {precision}", "--precision fp32, or another engine"
            )
        if lack := missing():
            what, _, install = lack.partition(": ")
            raise UsageError(what, install)
        self._threads = threads or available_threads()
        self.chunk_frames = CHUNK_FRAMES * self._threads
        self._context = context_frames(model.generator)
        self._hop = model.generator.hop_length
        self._session = _session(model)
        self._pool = ThreadPoolExecutor(self._threads, "hifigan-onnx")

    def synthesize(self, mel: FloatArray) -> FloatArray:
        """Turn a log-mel into samples, as `Engine` describes it.

        Raises:
            DeviceError: there is not enough memory.
        """
        batch, _, frames = mel.shape
        samples = np.empty((batch, frames * self._hop), np.float32)
        edges = piece_edges(frames, -(-self._threads // max(1, batch)), self._context)

        def run(piece: tuple[int, int, int]) -> None:
            row, start, stop = piece
            first = max(0, start - self._context)
            wave = self._run(mel[row : row + 1, :, first : min(frames, stop + self._context)])
            cut = wave[0, (start - first) * self._hop : (stop - first) * self._hop]
            samples[row, start * self._hop : stop * self._hop] = cut

        pieces = [(row, *span) for row in range(batch) for span in pairwise(edges)]
        in_turn = len(pieces) == 1 or self._threads == 1
        for _ in map(run, pieces) if in_turn else self._pool.map(run, pieces):
            pass
        return samples

    def _run(self, piece: FloatArray) -> FloatArray:
        from onnxruntime.capi.onnxruntime_pybind11_state import Fail, RuntimeException

        try:
            (wave,) = self._session.run(None, {"mel": np.ascontiguousarray(piece, np.float32)})
        except (Fail, RuntimeException) as error:  # graph and shapes fit: what can fail is memory
            reason = str(error).rpartition(": ")[2]
            raise DeviceError(
                f"out of memory in onnxruntime: {reason}", "a smaller --chunk"
            ) from error
        result: FloatArray = wave
        return result


def piece_edges(frames: int, least: int, context: int) -> list[int]:
    """Return where to cut: pieces as equal as can be, a multiple of `least`, none too long.

    Pieces that would be less than their repeated context are not made.

    >>> piece_edges(538, 2, 13)
    [0, 269, 538]
    >>> piece_edges(60, 4, 13)
    [0, 30, 60]
    """
    if frames == 0:
        return []
    count = -(-frames // (_LONGEST_PIECE * least)) * least
    count = max(1, min(count, frames // (2 * context)))
    return [frames * number // count for number in range(count + 1)]


def _session(model: ModelFile) -> onnxruntime.InferenceSession:
    """Make a session of one thread that reads its weights from memory."""
    import onnxruntime

    from hifigan_cli.engines.onnxgraph import GeneratorGraph

    graph = GeneratorGraph(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors only; the core never prints
    # Blocks of memory planned for one length do not fit the next: a quarter of it for nothing.
    options.enable_mem_pattern = False
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(value) for value in graph.weights.values()]
    options.add_external_initializers(list(graph.weights), values)
    content = graph.without_weights().SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
