"""Levels that matter: silent, clipped, off center."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hifigan_cli.audio.recording import Recording
    from hifigan_cli.types import FloatArray

# Below this, -60 dB, there is no speech but the noise of a converter.
SILENT_PEAK = 1e-3
# A plateau this close under the loudest sample is a limit that the recording ran into, if the
# loudest sample is near full scale (8-bit files end at 127/128).
PLATEAU_DEPTH = 1e-4
PLATEAU_PEAK = 0.98
_NOTED_CLIPPED, _NOTED_OFFSET = 1e-3, 0.02  # shares of the samples and of full scale


def swing(samples: FloatArray) -> float:
    """Return half the way between the extremes: the peak, without a constant offset.

    >>> swing(np.array([[0.5, 0.5, 0.7]], np.float32)).__round__(3)
    0.1
    """
    return float(np.ptp(samples)) / 2


def clipped_samples(samples: FloatArray) -> int:
    """Count samples of `(channels, samples)` held at full scale, with both neighbors there too.

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
