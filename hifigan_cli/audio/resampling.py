"""Sample-rate conversion through soxr, which takes any pair of rates in little memory.

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


def resample(samples: FloatArray, from_hz: int, to_hz: int) -> FloatArray:
    """Convert `(channels, samples)` from one rate to another, at 28-bit precision.

    The result has `resampled_length(samples, from_hz, to_hz)` samples a channel and no delay.

    >>> resample(np.zeros((2, 441), np.float32), 44_100, 22_050).shape
    (2, 221)
    """
    if from_hz == to_hz:
        return samples
    wanted = resampled_length(samples.shape[1], from_hz, to_hz)
    # soxr wants (samples, channels).
    converted = soxr.resample(samples.T, from_hz, to_hz, quality="VHQ").T
    return fit(np.asarray(converted, np.float32), wanted)


def resampled_length(samples: int, from_hz: int, to_hz: int) -> int:
    """Count the samples that cover the same time at another rate, rounded up."""
    return -(-samples * to_hz // from_hz)


def fit(samples: FloatArray, length: int) -> FloatArray:
    """Cut `(channels, samples)` to a length, or pad its end with silence."""
    short = length - samples.shape[1]
    if short > 0:
        samples = np.pad(samples, ((0, 0), (0, short)))
    return np.ascontiguousarray(samples[:, :length])


def resample_blocks(
    blocks: Iterable[FloatArray], from_hz: int, to_hz: int, channels: int
) -> Iterator[FloatArray]:
    """Convert a stream of blocks `(channels, samples)`; concatenated they equal `resample`."""
    if from_hz == to_hz:
        yield from blocks
        return
    stream = soxr.ResampleStream(from_hz, to_hz, channels, dtype="float32", quality="VHQ")
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block.T)).T
    yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True).T


def fit_blocks(blocks: Iterable[FloatArray], length: int, channels: int) -> Iterator[FloatArray]:
    """Cut a stream of blocks to a total length, or pad its end with silence."""
    left = length
    for block in blocks:
        yield block[:, :left]
        left -= min(left, block.shape[1])
    if left:
        yield np.zeros((channels, left), np.float32)
