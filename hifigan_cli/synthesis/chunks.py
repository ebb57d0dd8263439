"""Long mels in chunks, with the very samples that whole-file synthesis gives.

The samples of a mel frame depend on that frame and on `context` frames to each side (13 for V1 and
V2, 11 for V3). So a chunk that is computed with that many true frames around it, whose samples are
then cut away, equals the same stretch of the whole, and seams do not exist. Memory depends on the
chunk, not on the length, and small chunks stay in the processor's cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from hifigan_cli.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from torch import Tensor

    from hifigan_cli.models import Generator

# Frames a chunk: large beside the repeated context (2 x 13), small beside the memory. The kernels
# of the CPU sum in another order for short inputs; from 512 frames on, V1 agrees with the whole
# within 4e-6, with 128 only within 2.5e-5.
DEFAULT_CHUNK_FRAMES = 512
# Below this a chunk is mostly context: a device that cannot hold it cannot be helped.
MIN_CHUNK_FRAMES = 16


def synthesize_stream(
    generator: Generator,
    blocks: Iterable[Tensor],
    chunk_frames: int = DEFAULT_CHUNK_FRAMES,
    on_halved: Callable[[int], None] | None = None,
) -> Iterator[Tensor]:
    """Turn blocks of log-mel `(batch, mels, frames)` into blocks `(batch, samples)`.

    Blocks may have any number of frames. Concatenated, the result equals `generator(whole)[:, 0]`
    up to the rounding of float32. The last chunk takes what remains, one to two chunks, so that
    none is short; a clip below two chunks is one.

    When the device runs out of memory the chunk is halved, `on_halved` is told its new size, and
    the work goes on.

    Raises:
        DeviceError: not even the smallest chunk fits.
    """
    context, hop = generator.context_frames, generator.config.hop_samples
    source = iter(blocks)
    # `held` begins with `before` frames whose samples are out already; they are context now.
    held, before, ended = next(source, None), 0, False
    while held is not None:
        while not ended and held.shape[-1] < before + 2 * chunk_frames + context:
            block = next(source, None)
            ended = block is None
            held = held if block is None else torch.cat((held, block), dim=-1)
        left = held.shape[-1] - before
        if left <= 0:
            return
        # At the end of the mel no context follows, and the convolutions pad the chunk as they pad
        # the whole: with their own zeros.
        take = chunk_frames if left >= 2 * chunk_frames else left
        try:
            wave = _run(generator, held[..., : before + take + context])
        except torch.OutOfMemoryError as error:
            chunk_frames = _halve(chunk_frames, error)
            if on_halved:
                on_halved(chunk_frames)
            continue
        yield wave[:, before * hop : (before + take) * hop]
        done = before + take
        before = min(done, context)
        held = held[..., done - before :]


def _halve(chunk_frames: int, error: Exception) -> int:
    if chunk_frames <= MIN_CHUNK_FRAMES:
        raise DeviceError(
            f"out of memory with the smallest chunk, {chunk_frames} frames",
            "--device cpu, or fewer files at once",
        ) from error
    torch.cuda.empty_cache()
    return max(MIN_CHUNK_FRAMES, chunk_frames // 2)


def _run(generator: Generator, mel: Tensor) -> Tensor:
    """Synthesise `(batch, samples)` without gradients, in full float32.

    cuDNN would take TF32 for convolutions by default, which costs three digits.
    """
    with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        wave: Tensor = generator(mel)
    return wave[:, 0]
