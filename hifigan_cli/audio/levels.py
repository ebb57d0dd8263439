"""How loud a recording is where that matters: silent, held at full scale, off centre."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hifigan_cli.audio.reading import Audio, Samples

# Below this, -60 dB, there is no speech but the noise of a converter.
SILENT_PEAK = 1e-3
# A plateau this close under the loudest sample is a limit that the recording ran into, if the
# loudest sample is near full scale (8-bit files end at 127/128).
PLATEAU_DEPTH = 1e-4
PLATEAU_PEAK = 0.98
_TOLD_CLIPPED, _TOLD_OFFSET = 1e-3, 0.02  # shares of the samples and of full scale worth a word


def swing(samples: Samples) -> float:
    """Return half the way between the extremes: the peak, without a constant offset.

    >>> swing(np.array([[0.5, 0.5, 0.7]], np.float32)).__round__(3)
    0.1
    """
    return float(np.ptp(samples)) / 2


def clipped_samples(samples: Samples) -> int:
    """Count samples of `(channels, samples)` held at full scale, with both neighbours there too.

    A peak that only touches full scale is no clipping; a plateau is.
    """
    magnitude = np.abs(samples)
    peak = float(magnitude.max())
    if peak < PLATEAU_PEAK:
        return 0
    held = magnitude >= peak - PLATEAU_DEPTH
    return int(np.count_nonzero(held[:, 1:-1] & held[:, :-2] & held[:, 2:]))


def level_notes(audio: Audio, label: str) -> list[str]:
    """Say of a recording what its listener should know of its level: nothing, mostly."""
    notes = []
    offset = float(np.abs(audio.samples.mean(axis=1, dtype=np.float64)).max())
    if offset > _TOLD_OFFSET:
        notes.append(f"{label} has an offset of {offset:.1%} of full scale")
    if swing(audio.samples) < SILENT_PEAK:
        notes.append(f"{label} is silent: it stays below -60 dB of full scale")
    clipped = clipped_samples(audio.samples) / audio.samples.size
    if clipped > _TOLD_CLIPPED:
        notes.append(f"{label} is clipped: {clipped:.1%} of its samples are held at full scale")
    return notes
