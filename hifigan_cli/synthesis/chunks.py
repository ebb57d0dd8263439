"""Synthesize long mels in chunks, with the same samples as in one pass.

The samples of a mel frame depend on that frame and on `context` frames on each side (13 for V1 and
V2, 11 for V3). So each chunk is synthesized together with that many real frames around it, and the
samples of the context are discarded. The rest equals the one-pass result: there are no seams.
Memory depends on the chunk, not on the length, and small chunks stay in the CPU cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.config.architecture import context_frames
from hifigan_cli.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hifigan_cli.config import GeneratorConfig
    from hifigan_cli.engines.base import ChunkedEngine
    from hifigan_cli.types import FloatArray

# Smaller chunks would consist mostly of context; a device that cannot hold this is too small.
MIN_CHUNK_FRAMES = 16
# With this many frames, the context less than doubles the cost per frame of long chunks.
LOW_LATENCY_FRAMES = 32


def out_of_memory(frames: int) -> DeviceError:
    """Return the error for a device that cannot hold the smallest chunk."""
    return DeviceError(
        f"out of memory with the smallest chunk, {frames} frames",
        "use --device cpu, or process fewer files at once",
    )


class ChunkedStream:
    """Mel frames in, samples out, through a stateless engine.

    A push may have any number of frames. The concatenated samples equal those of the complete mel,
    up to float32 rounding. With `low_latency`, the stream synthesizes as soon as it has
    `LOW_LATENCY_FRAMES` frames and their context. Otherwise it waits for two chunks, so that the
    last chunk, which gets the remaining frames, is never short.

    When the device runs out of memory, the chunk size is halved, `on_chunk_halved` is called with
    the new size, and synthesis continues.
    """

    def __init__(
        self,
        engine: ChunkedEngine,
        config: GeneratorConfig,
        chunk_frames: int = 0,
        *,
        low_latency: bool = False,
        on_chunk_halved: Callable[[int], None] | None = None,
    ) -> None:
        """Start a stream; `chunk_frames=0` uses the engine's default."""
        self._engine = engine
        self._context, self._hop = context_frames(config), config.hop_length
        self._chunk = chunk_frames or engine.chunk_frames
        self._low_latency, self._on_chunk_halved = low_latency, on_chunk_halved
        # The first `_n_done` frames of `_buffer` are synthesized already; they are context now.
        self._buffer: FloatArray | None = None
        self._n_done = 0

    @property
    def latency_frames(self) -> int:
        """The samples of a frame are returned after at most this many more frames."""
        return self._context + self._min_ready_frames() - 1

    def push(self, mel: FloatArray, *, end: bool = False) -> FloatArray:
        """Accept frames `(batch, n_mels, frames)`; return `(batch, samples)`.

        `end` marks the last frames of the mel.

        Raises:
            DeviceError: not even the smallest chunk fits into memory.
        """
        buffer = mel if self._buffer is None else np.concatenate((self._buffer, mel), axis=-1)
        self._buffer = buffer
        blocks = list(self._synthesize_ready(end))
        if end:
            self._buffer, self._n_done = None, 0
        return np.concatenate([np.zeros((len(mel), 0), mel.dtype), *blocks], axis=-1)

    def _synthesize_ready(self, end: bool) -> Iterator[FloatArray]:
        while True:
            assert self._buffer is not None  # noqa: S101 - for the type checker; set by push
            remaining = self._buffer.shape[-1] - self._n_done
            ready = remaining if end else remaining - self._context
            if ready >= self._min_ready_frames():
                size = min(self._chunk, ready)
            elif end and remaining:
                size = remaining
            else:
                return
            # At the end of the mel no context follows: the convolutions zero-pad the chunk as they
            # would pad the complete mel.
            chunk = self._buffer[..., : self._n_done + size + self._context]
            try:
                wave = self._engine.synthesize(np.ascontiguousarray(chunk))
            except (DeviceError, MemoryError) as error:
                self._halve(error)
                continue
            yield wave[:, self._n_done * self._hop : (self._n_done + size) * self._hop]
            done = self._n_done + size
            self._n_done = min(done, self._context)
            self._buffer = self._buffer[..., done - self._n_done :]

    def _min_ready_frames(self) -> int:
        return min(self._chunk, LOW_LATENCY_FRAMES) if self._low_latency else 2 * self._chunk

    def _halve(self, error: Exception) -> None:
        if self._chunk <= MIN_CHUNK_FRAMES:
            raise out_of_memory(self._chunk) from error
        self._chunk = max(MIN_CHUNK_FRAMES, self._chunk // 2)
        if self._on_chunk_halved:
            self._on_chunk_halved(self._chunk)
