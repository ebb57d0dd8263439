"""Levels that matter: silent, clipped, off center; and holding a level through a stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hifigan_cli.audio.recording import Recording, Sound
    from hifigan_cli.types import FloatArray

# Below this, -60 dB, there is no speech but the noise of a converter.
SILENT_PEAK = 1e-3
# A plateau this close under the loudest sample is a limit that the recording ran into, if the
# loudest sample is near full scale (8-bit files end at 127/128).
PLATEAU_DEPTH = 1e-4
PLATEAU_PEAK = 0.98
# A recording of less than a second has no part that shows what is noise and what is speech.
SHORT_S = 1.0
LEVEL_LOSS_DB = 0.2  # the most that any stage may take of such a recording's level
_TINY = 1e-30
_NOTED_CLIPPED, _NOTED_OFFSET = 1e-3, 0.02  # shares of the samples and of full scale


def swing(samples: FloatArray) -> float:
    """Return half the way between the extremes: the peak, without a constant offset.

    >>> swing(np.array([[0.5, 0.5, 0.7]], np.float32)).__round__(3)
    0.1
    """
    return float(np.ptp(samples)) / 2


def clipped_samples(samples: FloatArray) -> int:
    """Count samples of `(channels, samples)` held at full scale, with both neighbours there too.

    A peak that only touches full scale is no clipping; a plateau is.
    """
    return clipped_in_blocks([samples], float(np.abs(samples).max()))


def clipped_in_blocks(blocks: Iterable[FloatArray], peak: float) -> int:
    """Count the samples that `clipped_samples` counts, of a recording whose peak is known."""
    if peak < PLATEAU_PEAK:
        return 0
    count, held = 0, None
    for block in blocks:
        new = np.abs(block) >= peak - PLATEAU_DEPTH
        held = new if held is None else np.concatenate((held[:, -2:], new), axis=1)
        count += int(np.count_nonzero(held[:, 1:-1] & held[:, :-2] & held[:, 2:]))
    return count


def is_short(sound: Sound) -> bool:
    """Return whether a recording is too short for a stage to take any of its level."""
    return sound.length < SHORT_S * sound.rate_hz


def hold_level(
    changed: FloatArray, original: FloatArray, most_db: float, weights: FloatArray | float = 1.0
) -> FloatArray:
    """Mix the original in until each channel has lost at most `most_db` of its level.

    Both are `(channels, ...)`, samples or magnitudes; `weights` are those of squares in the level.
    What has lost less stays as it is.

    >>> hold_level(np.array([[0.0, 1.0]]), np.array([[2.0, 1.0]]), 0.0)
    array([[2., 1.]])
    """
    axes = tuple(range(1, changed.ndim))

    def product(a: FloatArray, b: FloatArray) -> FloatArray:
        total: FloatArray = np.sum(a * b * weights, axis=axes, keepdims=True, dtype=np.float64)
        return total

    # The level of changed + share * missing is a parabola in the share; its larger root is wanted.
    missing = original - changed
    wanted = product(original, original) * 10 ** (-most_db / 10)
    a, b = product(missing, missing), 2 * product(changed, missing)
    c = product(changed, changed) - wanted
    root = (np.sqrt(np.maximum(b * b - 4 * a * c, 0)) - b) / np.maximum(2 * a, _TINY)
    share = np.where(c < 0, np.clip(root, 0, 1), 0)
    result: FloatArray = (changed + share * missing).astype(changed.dtype)
    return result


def level_notes(recording: Recording) -> list[str]:
    """Warn of an offset, silence or clipping in a recording, as sentences for the user."""
    notes, survey, label = [], recording.survey, recording.label
    if survey.offset > _NOTED_OFFSET:
        notes.append(f"{label} has an offset of {survey.offset:.1%} of full scale")
    if (survey.high - survey.low) / 2 / survey.gain < SILENT_PEAK:
        notes.append(f"{label} is silent: it stays below -60 dB of full scale")
    clipped = clipped_in_blocks(recording.blocks(), survey.peak / survey.gain)
    share = clipped / (recording.length * recording.channels)
    if share > _NOTED_CLIPPED:
        notes.append(f"{label} is clipped: {share:.1%} of its samples are held at full scale")
    return notes
