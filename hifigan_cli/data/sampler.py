"""Select the clips of a step and their crops, as pure functions of the seed and the step.

Each random value has its own random stream, so the number of workers or processes and a restart
within an epoch do not change the batch of a step. The values use the raw bits of Philox: numpy
guarantees that these never change, unlike the results of its higher-level methods.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt


class RandomStream(IntEnum):
    """The kind of a random value; each kind has its own random stream."""

    ORDER = 0
    CROP = 1
    SPEED = 2
    GAIN = 3


def epoch_order(seed: int, epoch: int, clips: int, min_clips: int) -> npt.NDArray[np.int64]:
    """Return the clip order of an epoch: every clip once, repeated until there are `min_clips`.

    >>> sorted(epoch_order(seed=1, epoch=0, clips=4, min_clips=1).tolist())
    [0, 1, 2, 3]
    """
    rounds = max(1, -(-min_clips // clips))
    # Sorting random 64-bit numbers gives a random order; ties are practically impossible.
    return np.concatenate(
        [np.argsort(_bits(seed, RandomStream.ORDER, epoch, i, count=clips)) for i in range(rounds)]
    )


def crop_start(seed: int, step: int, slot: int, last_start: int) -> int:
    """Return the start of a segment, uniform over 0 to `last_start` inclusive.

    `slot` is the index of the segment in the batch of all processes.
    """
    return int(_bits(seed, RandomStream.CROP, step, slot, count=1)[0] % np.uint64(last_start + 1))


def uniform(seed: int, stream: RandomStream, step: int, slot: int) -> float:
    """Return a random number from 0 to 1, excluding 1."""
    bits = int(_bits(seed, stream, step, slot, count=1)[0])
    return (bits >> 11) * 2.0**-53  # a double has 53 significant bits


def _bits(seed: int, stream: RandomStream, *key: int, count: int) -> npt.NDArray[np.uint64]:
    generator = np.random.Philox(np.random.SeedSequence(seed, spawn_key=(stream, *key)))
    return generator.random_raw(count)
