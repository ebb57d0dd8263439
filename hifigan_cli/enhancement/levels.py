"""Preserve the level of short recordings, which no enhancement stage may lower."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hifigan_cli.audio.recording import AudioSource
    from hifigan_cli.types import FloatArray

# Within less than a second, noise and speech cannot be distinguished.
SHORT_S = 1.0
_MAX_LOSS_DB = 0.2  # the most by which a stage may lower the level of a short recording
_TINY = 1e-30


def is_short(recording: AudioSource) -> bool:
    """Return whether a recording is so short that its level must be preserved."""
    return recording.length < SHORT_S * recording.sample_rate


def preserve_level(
    changed: FloatArray, original: FloatArray, weights: FloatArray | float = 1.0
) -> FloatArray:
    """Mix in the original until the level of each channel is at most 0.2 dB lower than before.

    Both arrays are `(channels, ...)`, samples or magnitudes. `weights` weigh their squares in the
    level. A channel whose level is within 0.2 dB does not change.

    >>> preserve_level(np.array([[0.0, 1.0]]), np.array([[2.0, 1.0]])).round(2)
    array([[1.94, 1.  ]])
    """
    axes = tuple(range(1, changed.ndim))

    def product(a: FloatArray, b: FloatArray) -> FloatArray:
        total: FloatArray = np.sum(a * b * weights, axis=axes, keepdims=True, dtype=np.float64)
        return total

    # The power of changed + share * removed is quadratic in the share; take the larger root.
    removed = original - changed
    min_power = product(original, original) * 10 ** (-_MAX_LOSS_DB / 10)
    a, b = product(removed, removed), 2 * product(changed, removed)
    c = product(changed, changed) - min_power
    root = (np.sqrt(np.maximum(b * b - 4 * a * c, 0)) - b) / np.maximum(2 * a, _TINY)
    share = np.where(c < 0, np.clip(root, 0, 1), 0)
    result: FloatArray = (changed + share * removed).astype(changed.dtype)
    return result
