"""The onnxruntime engine: fast prebuilt kernels, without torch and without a compiler.

onnxruntime splits a layer among threads by blocks of channels. V2 and V3 have too few blocks, so a
second thread brings no speedup; for V1 it brings half. So this engine splits *time* among threads:
it cuts the mel into pieces with the exact context, and each thread computes complete pieces.
Threads then wait for each other once per piece, not once per layer, and the samples are the same.
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
# Measured per frame, with the repeated context: from 256 to 1024 frames all presets are within 5 %
# of their best speed, and memory grows by 0.3 MB per frame and thread (V1). A chunk arrives with
# its context, so the longest piece is a little longer.
CHUNK_FRAMES = 256  # per thread
_MAX_PIECE_FRAMES = 320


def unavailable_reason() -> str | None:
    """Return which packages are missing and how to install them, or None if none are."""
    absent = [name for name in PACKAGES if find_spec(name) is None]
    if not absent:
        return None
    verb = "is" if len(absent) == 1 else "are"
    return f"{' and '.join(absent)} {verb} not installed: pip install 'hifigan-cli[onnx]'"


class OnnxEngine:
    """A generator in onnxruntime, on the CPU."""

    name = "onnx"
    precision = "fp32"

    def __init__(
        self, model: ModelFile, precision: str = "fp32", threads: int | None = None
    ) -> None:
        """Create a session with a model's weights.

        Raises:
            UsageError: the precision is not fp32, or a package is missing.
        """
        if precision != self.precision:
            raise UsageError(
                f"the onnx engine does not support {precision}",
                "use --precision fp32, or another engine",
            )
        if reason := unavailable_reason():
            message, _, install = reason.partition(": ")
            raise UsageError(message, install)
        self._threads = threads or available_threads()
        self.chunk_frames = CHUNK_FRAMES * self._threads
        self._context = context_frames(model.generator)
        self._hop_length = model.generator.hop_length
        self._session = _session(model)
        self._pool = ThreadPoolExecutor(self._threads, "hifigan-onnx")

    def synthesize(self, mel: FloatArray) -> FloatArray:
        """Turn a log-mel `(batch, n_mels, frames)` into samples; see `Engine.synthesize`.

        Raises:
            DeviceError: there is not enough memory.
        """
        (batch, _, frames), hop = mel.shape, self._hop_length
        samples = np.empty((batch, frames * hop), np.float32)
        edges = piece_edges(frames, -(-self._threads // max(1, batch)), self._context)

        def run(piece: tuple[int, int, int]) -> None:
            row, start, stop = piece
            first = max(0, start - self._context)
            wave = self._run(mel[row : row + 1, :, first : min(frames, stop + self._context)])
            trimmed = wave[0, (start - first) * hop : (stop - first) * hop]
            samples[row, start * hop : stop * hop] = trimmed

        pieces = [(row, *span) for row in range(batch) for span in pairwise(edges)]
        sequential = len(pieces) == 1 or self._threads == 1
        for _ in map(run, pieces) if sequential else self._pool.map(run, pieces):
            pass
        return samples

    def _run(self, piece: FloatArray) -> FloatArray:
        from onnxruntime.capi.onnxruntime_pybind11_state import Fail, RuntimeException

        try:
            (wave,) = self._session.run(None, {"mel": np.ascontiguousarray(piece, np.float32)})
        except (
            Fail,
            RuntimeException,
        ) as error:  # the graph is valid, so the cause is lack of memory
            reason = str(error).rpartition(": ")[2]
            raise DeviceError(
                f"out of memory in onnxruntime: {reason}", "use a smaller --chunk"
            ) from error
        result: FloatArray = wave
        return result


def piece_edges(frames: int, multiple: int, context: int) -> list[int]:
    """Return where to cut a mel: pieces of nearly equal length, none of them too long.

    Their number is a multiple of `multiple`, unless pieces would be shorter than their repeated
    context.

    >>> piece_edges(538, 2, 13)
    [0, 269, 538]
    >>> piece_edges(60, 4, 13)
    [0, 30, 60]
    """
    if frames == 0:
        return []
    count = -(-frames // (_MAX_PIECE_FRAMES * multiple)) * multiple
    count = max(1, min(count, frames // (2 * context)))
    return [frames * number // count for number in range(count + 1)]


def _session(model: ModelFile) -> onnxruntime.InferenceSession:
    """Create a session with one thread that reads its weights from memory."""
    import onnxruntime

    from hifigan_cli.engines.onnx_graph import GeneratorGraph

    graph = GeneratorGraph(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors only; the core never prints
    # A memory plan for one length does not fit the next, and would cost a quarter more memory.
    options.enable_mem_pattern = False
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(value) for value in graph.weights.values()]
    options.add_external_initializers(list(graph.weights), values)
    content = graph.without_weights().SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
