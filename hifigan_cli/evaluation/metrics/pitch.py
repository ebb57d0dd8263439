"""Pitch and voicing, from a neural tracker (swift-f0): what phasiness and buzz disturb.

The tracker gives every 16 ms a pitch and a confidence that the frame is voiced; the confidence
stands for periodicity.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from hifigan_cli.audio.resampling import resample
from hifigan_cli.evaluation.metrics.packages import load

if TYPE_CHECKING:
    from hifigan_cli.evaluation.metrics.pair import Pair

RATE_HZ = 16_000
VOICED_FROM = 0.5  # confidence


def pitch_errors(pair: Pair) -> dict[str, float | None]:
    """Compare pitch tracks.

    `vuv_error`: frames whose voicing differs, percent. `periodicity_rmse`: root mean square
    difference of the confidences. `f0_rmse`: of the pitches, in cents, where both are voiced; None
    where no frame is.

    Raises:
        UsageError: swift-f0 is not installed.
    """
    tracks = [
        _tracker().detect(resample(clip[None], pair.rate_hz, RATE_HZ)[0], RATE_HZ)
        for clip in (pair.reference, pair.hypothesis)
    ]
    reference, hypothesis = tracks
    voiced = [track.confidence >= VOICED_FROM for track in tracks]
    both = voiced[0] & voiced[1]
    cents = 1200 * np.log2(hypothesis.pitch_hz[both] / reference.pitch_hz[both])
    return {
        "vuv_error": 100 * float(np.mean(voiced[0] != voiced[1])),
        "periodicity_rmse": _rms(hypothesis.confidence - reference.confidence),
        "f0_rmse": _rms(cents) if both.any() else None,
    }


def _rms(values: Any) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


@lru_cache(maxsize=1)
def _tracker() -> Any:
    return load("swift_f0").SwiftF0(threads=1, spin=False)
