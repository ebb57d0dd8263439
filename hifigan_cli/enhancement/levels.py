"""The level of short recordings, which no stage may lower."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hifigan_cli.audio.recording import Sound
    from hifigan_cli.types import FloatArray

# A recording of less than a second has no part that shows what is noise and what is speech.
SHORT_S = 1.0
_LEVEL_LOSS_DB = 0.2  # the most that any stage may take of such a recording's level
_TINY = 1e-30


def is_short(sound: Sound) -> bool:
    """Return whether a recording is too short for a stage to take any of its level."""
    return sound.length < SHORT_S * sound.sample_rate


def hold_level(
    changed: FloatArray, original: FloatArray, weights: FloatArray | float = 1.0
) -> FloatArray:
    """Mix the original in until each channel has lost at most 0.2 dB of its level.

    Both are `(channels, ...)`, samples or magnitudes; `weights` are those of squares in the level.
    What has lost less stays as it is.

    >>> hold_level(np.array([[0.0, 1.0]]), np.array([[2.0, 1.0]])).round(2)
    array([[1.94, 1.  ]])
    """
    axes = tuple(range(1, changed.ndim))

    def product(a: FloatArray, b: FloatArray) -> FloatArray:
        total: FloatArray = np.sum(a * b * weights, axis=axes, keepdims=True, dtype=np.float64)
        return total

    # The level of changed + share * missing is a parabola in the share; its larger root is wanted.
    missing = original - changed
    wanted = product(original, original) * 10 ** (-_LEVEL_LOSS_DB / 10)
    a, b = product(missing, missing), 2 * product(changed, missing)
    c = product(changed, changed) - wanted
    root = (np.sqrt(np.maximum(b * b - 4 * a * c, 0)) - b) / np.maximum(2 * a, _TINY)
    share = np.where(c < 0, np.clip(root, 0, 1), 0)
    result: FloatArray = (changed + share * missing).astype(changed.dtype)
    return result
