"""Long mels in chunks, with the very samples that whole-file synthesis gives.

The samples of a mel frame depend on that frame and on `context` frames to each side (13 for V1 and
V2, 11 for V3). So a chunk that is computed with that many true frames around it, whose samples are
then cut away, equals the same stretch of the whole, and seams do not exist. Memory depends on the
chunk, not on the length, and small chunks stay in the processor's cache.
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

# Below this a chunk is mostly context: a device that cannot hold it cannot be helped.
MIN_CHUNK_FRAMES = 16
# The context of so many frames makes them cost less than twice what they cost in long chunks.
PROMPT_FRAMES = 32


def out_of_memory(frames: int) -> DeviceError:
    """Return the error of a device that cannot hold the smallest chunk."""
    return DeviceError(
        f"out of memory with the smallest chunk, {frames} frames",
        "--device cpu, or fewer files at once",
    )


class ChunkedStream:
    """Mel frames in, samples out, through an engine that remembers nothing.

    Frames come in pushes of any number; the samples, put together, equal those of the whole mel up
    to the rounding of float32. With `prompt`, what is there is synthesised once it is
    `PROMPT_FRAMES` and their context; otherwise two chunks are awaited, so that the last, which
    takes what remains, is never short.

    When the device runs out of memory the chunk is halved, `on_halved` is told its new size, and
    the work goes on.
    """

    def __init__(
        self,
        engine: ChunkedEngine,
        config: GeneratorConfig,
        chunk_frames: int = 0,
        *,
        prompt: bool = False,
        on_halved: Callable[[int], None] | None = None,
    ) -> None:
        """Begin a stream; without `chunk_frames` the engine's own."""
        self._engine = engine
        self._context, self._hop = context_frames(config), config.hop_length
        self._chunk = chunk_frames or engine.chunk_frames
        self._prompt, self._on_halved = prompt, on_halved
        # `_held` begins with `_before` frames whose samples are out already; they are context now.
        self._held: FloatArray | None = None
        self._before = 0

    @property
    def latency_frames(self) -> int:
        """How many frames must have come after one, at most, for its samples to be out."""
        return self._context + self._wanted() - 1

    def push(self, mel: FloatArray, *, end: bool = False) -> FloatArray:
        """Take frames `(batch, mels, frames)`, with `end` the last; return `(batch, samples)`.

        Raises:
            DeviceError: not even the smallest chunk fits into memory.
        """
        held = mel if self._held is None else np.concatenate((self._held, mel), axis=-1)
        self._held = held
        pieces = list(self._determined(end))
        if end:
            self._held, self._before = None, 0
        return np.concatenate([np.zeros((len(mel), 0), mel.dtype), *pieces], axis=-1)

    def _determined(self, end: bool) -> Iterator[FloatArray]:
        while True:
            assert self._held is not None  # noqa: S101 - for the type checker; set by push
            left = self._held.shape[-1] - self._before
            ready = left if end else left - self._context
            if ready >= self._wanted():
                take = min(self._chunk, ready)
            elif end and left:
                take = left
            else:
                return
            # At the end of the mel no context follows, and the convolutions pad the chunk as they
            # pad the whole: with their own zeros.
            part = self._held[..., : self._before + take + self._context]
            try:
                wave = self._engine.synthesize(np.ascontiguousarray(part))
            except (DeviceError, MemoryError) as error:
                self._halve(error)
                continue
            yield wave[:, self._before * self._hop : (self._before + take) * self._hop]
            done = self._before + take
            self._before = min(done, self._context)
            self._held = self._held[..., done - self._before :]

    def _wanted(self) -> int:
        return min(self._chunk, PROMPT_FRAMES) if self._prompt else 2 * self._chunk

    def _halve(self, error: Exception) -> None:
        if self._chunk <= MIN_CHUNK_FRAMES:
            raise out_of_memory(self._chunk) from error
        self._chunk = max(MIN_CHUNK_FRAMES, self._chunk // 2)
        if self._on_halved:
            self._on_halved(self._chunk)
