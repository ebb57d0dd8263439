"""Sample-rate conversion with soxr, which supports any pair of rates in little memory.

torchaudio's resampler builds a filter of gigabytes for rates without a large common divisor
(44 056 to 22 050 Hz), so it is not used for files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import soxr

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hifigan_cli.types import FloatArray


def resample(samples: FloatArray, orig_sr: int, target_sr: int) -> FloatArray:
    """Convert `(channels, samples)` to another sample rate, at 28-bit precision.

    The result has `resampled_length(samples, orig_sr, target_sr)` samples per channel and no delay.

    >>> resample(np.zeros((2, 441), np.float32), 44_100, 22_050).shape
    (2, 221)
    """
    if orig_sr == target_sr:
        return samples
    length = resampled_length(samples.shape[1], orig_sr, target_sr)
    # soxr expects (samples, channels).
    converted = soxr.resample(samples.T, orig_sr, target_sr, quality="VHQ").T
    return pad_or_trim(np.asarray(converted, np.float32), length)


def resampled_length(samples: int, orig_sr: int, target_sr: int) -> int:
    """Return the number of samples of the same duration at another sample rate, rounded up."""
    return -(-samples * target_sr // orig_sr)


def pad_or_trim(samples: FloatArray, length: int) -> FloatArray:
    """Trim `(channels, samples)` to a length, or pad its end with silence."""
    missing = length - samples.shape[1]
    if missing > 0:
        samples = np.pad(samples, ((0, 0), (0, missing)))
    return np.ascontiguousarray(samples[:, :length])


def resample_blocks(
    blocks: Iterable[FloatArray], orig_sr: int, target_sr: int, channels: int
) -> Iterator[FloatArray]:
    """Resample a stream of blocks `(channels, samples)`; concatenated, they equal `resample`."""
    if orig_sr == target_sr:
        yield from blocks
        return
    stream = soxr.ResampleStream(orig_sr, target_sr, channels, dtype="float32", quality="VHQ")
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block.T)).T
    yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True).T


def pad_or_trim_blocks(
    blocks: Iterable[FloatArray], length: int, channels: int
) -> Iterator[FloatArray]:
    """Trim a stream of blocks to a total length, or pad its end with silence."""
    left = length
    for block in blocks:
        yield block[:, :left]
        left -= min(left, block.shape[1])
    if left:
        yield np.zeros((channels, left), np.float32)
