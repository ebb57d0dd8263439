"""Detect silence, clipping and a constant offset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hifigan_cli.audio.recording import Recording
    from hifigan_cli.types import FloatArray

# Below this peak, -60 dB, a recording has no speech, only the noise of a converter.
SILENT_PEAK = 1e-3
# Samples this close to the peak count as clipped if the peak is near full scale (8-bit files end
# at 127/128).
PLATEAU_DEPTH = 1e-4
PLATEAU_PEAK = 0.98
_MAX_CLIPPED, _MAX_OFFSET = 1e-3, 0.02  # shares of the samples and of full scale


def peak_without_offset(samples: FloatArray) -> float:
    """Return half the difference of the extremes: the peak without a constant offset.

    >>> peak_without_offset(np.array([[0.5, 0.5, 0.7]], np.float32)).__round__(3)
    0.1
    """
    return float(np.ptp(samples)) / 2


def count_clipped(samples: FloatArray) -> int:
    """Count the samples of `(channels, samples)` at full scale whose two neighbors are there too.

    A plateau at full scale is clipping; a peak that only touches it is not.
    """
    return count_clipped_in_blocks([samples], float(np.abs(samples).max()))


def count_clipped_in_blocks(blocks: Iterable[FloatArray], peak: float) -> int:
    """Do the same as `count_clipped` for blocks of samples with a known peak."""
    if peak < PLATEAU_PEAK:
        return 0
    count, clipped = 0, None
    for block in blocks:
        new = np.abs(block) >= peak - PLATEAU_DEPTH
        clipped = new if clipped is None else np.concatenate((clipped[:, -2:], new), axis=1)
        count += int(np.count_nonzero(clipped[:, 1:-1] & clipped[:, :-2] & clipped[:, 2:]))
    return count


def level_notes(recording: Recording) -> list[str]:
    """Return warnings about an offset, silence or clipping in a recording, for the user."""
    notes, statistics, label = [], recording.statistics, recording.label
    if statistics.offset > _MAX_OFFSET:
        notes.append(f"{label} has an offset of {statistics.offset:.1%} of full scale")
    divisor = statistics.full_scale_divisor
    if (statistics.high - statistics.low) / 2 / divisor < SILENT_PEAK:
        notes.append(f"{label} is silent: it stays below -60 dB of full scale")
    clipped = count_clipped_in_blocks(recording.blocks(), statistics.peak / divisor)
    share = clipped / (recording.length * recording.channels)
    if share > _MAX_CLIPPED:
        notes.append(f"{label} is clipped: {share:.1%} of its samples are at full scale")
    return notes
