"""Which clips a step takes and where it cuts them, as pure functions of the seed and the step.

No two draws share a random stream, so neither the number of workers or processes nor a restart in
the middle of an epoch changes what a step sees. The draws take the raw bits of Philox: unlike
numpy's higher methods, numpy guarantees that these never change.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt


class Purpose(IntEnum):
    """What a draw is for; draws of different purpose share no bits."""

    ORDER = 0
    CROP = 1
    RATE = 2
    LEVEL = 3


def epoch_order(seed: int, epoch: int, clips: int, at_least: int) -> npt.NDArray[np.int64]:
    """Return the order of an epoch: every clip once, in rounds until there are `at_least`.

    >>> sorted(epoch_order(seed=1, epoch=0, clips=4, at_least=1).tolist())
    [0, 1, 2, 3]
    """
    rounds = max(1, -(-at_least // clips))
    # The order of random numbers is a random order; ties among 64 bits do not happen.
    return np.concatenate(
        [np.argsort(_bits(seed, Purpose.ORDER, epoch, i, count=clips)) for i in range(rounds)]
    )


def crop_start(seed: int, step: int, slot: int, room: int) -> int:
    """Return where a segment starts: uniform over 0 to `room`, both included.

    `slot` is the segment's place in the batch of all processes together.
    """
    return int(_bits(seed, Purpose.CROP, step, slot, count=1)[0] % np.uint64(room + 1))


def uniform(seed: int, purpose: Purpose, step: int, slot: int) -> float:
    """Return a number from 0 to 1, excluding 1."""
    bits = int(_bits(seed, purpose, step, slot, count=1)[0])
    return (bits >> 11) * 2.0**-53  # as many as a double holds


def _bits(seed: int, purpose: Purpose, *key: int, count: int) -> npt.NDArray[np.uint64]:
    source = np.random.Philox(np.random.SeedSequence(seed, spawn_key=(purpose, *key)))
    return source.random_raw(count)
