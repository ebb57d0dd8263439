"""Guards at narrow rates: PESQ wideband (ITU-T P.862.2) and STOI, plain and extended.

Both compare a result with its reference. They miss absent high frequencies and hum, so that they
guard a bar and never make one.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.audio.resampling import resample
from hifigan_cli.evaluation.metrics.packages import load

if TYPE_CHECKING:
    from hifigan_cli.types import FloatArray

PESQ_RATE_HZ = 16_000
STOI_RATE_HZ = 10_000


def pesq_wideband(reference: FloatArray, hypothesis: FloatArray, rate_hz: int) -> float | None:
    """Return PESQ-WB of two clips `(samples,)`, 1.04 to 4.64; None where it hears no utterance.

    Raises:
        UsageError: pesq is not installed.
    """
    package = load("pesq")
    pair = [resample(clip[None], rate_hz, PESQ_RATE_HZ)[0] for clip in (reference, hypothesis)]
    if not all(clip.any() for clip in pair):
        return None  # PESQ divides by the peak
    try:
        score = float(package.pesq(PESQ_RATE_HZ, *pair, "wb"))
    except package.PesqError:
        return None
    return score if np.isfinite(score) else None


def stoi(
    reference: FloatArray, hypothesis: FloatArray, rate_hz: int, *, extended: bool = False
) -> float | None:
    """Return STOI, or with `extended` ESTOI, of two clips `(samples,)`: up to 1.

    None where fewer than 0.4 s of the reference are not silent.

    Raises:
        UsageError: pystoi is not installed.
    """
    package = load("pystoi.stoi")
    pair = [
        resample(clip[None], rate_hz, STOI_RATE_HZ)[0].astype(np.float64)
        for clip in (reference, hypothesis)
    ]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            score = float(package.stoi(*pair, STOI_RATE_HZ, extended=extended))
        except (ValueError, IndexError):  # shorter than one of its frames
            return None
    return None if said or not np.isfinite(score) else score
