"""Mel-cepstral distortion (Kubichek 1993) of spectral envelopes that WORLD estimates.

WORLD (Morise et al. 2016) takes the pitch out of the spectrum; what is left, the envelope, is coded
as 25 coefficients of a cosine transform over the mel axis. Without the first, the level, the
distance of two codes is the root mean square difference of the envelopes in decibels, details finer
than the code left out. Frames are compared where they stand: a vocoder keeps the time, so that
nothing needs to be warped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.evaluation.metrics.packages import load

if TYPE_CHECKING:
    from hifigan_cli.evaluation.metrics.pair import Pair
    from hifigan_cli.types import DoubleArray, FloatArray

COEFFICIENTS = 24
# Added to WORLD's power: below the rounding of 16 bits, where the logarithm measures nothing real.
_POWER_OFFSET = 1e-11
_FRAME_MS = 5.0


def cepstral_distortion(pair: Pair) -> dict[str, float | None]:
    """Return `mcd`, dB: the mean over frames of 5 ms, coefficients 1 to 24.

    Raises:
        UsageError: pyworld-prebuilt is not installed.
    """
    envelopes = [envelope(clip, pair.rate_hz) for clip in (pair.reference, pair.hypothesis)]
    shared = min(len(power) for power in envelopes)
    distances = envelope_distance_db(envelopes[0][:shared], envelopes[1][:shared], pair.rate_hz)
    return {"mcd": float(distances.mean())}


def envelope(clip: FloatArray, rate_hz: int) -> DoubleArray:
    """Return the spectral envelope `(frames, bins)` of `(samples,)`, as power.

    Raises:
        UsageError: pyworld-prebuilt is not installed.
    """
    world = load("pyworld")
    samples = clip.astype(np.float64)
    pitch_hz, times_s = world.harvest(samples, rate_hz, frame_period=_FRAME_MS)
    return np.asarray(world.cheaptrick(samples, pitch_hz, times_s, rate_hz))


def envelope_distance_db(
    reference: DoubleArray, hypothesis: DoubleArray, rate_hz: int
) -> DoubleArray:
    """Return the distance of each two envelopes `(frames, bins)` in decibels: `(frames,)`.

    Raises:
        UsageError: pyworld-prebuilt is not installed.
    """
    world = load("pyworld")
    codes = [
        world.code_spectral_envelope(power + _POWER_OFFSET, rate_hz, COEFFICIENTS + 1)
        for power in (reference, hypothesis)
    ]
    squares = np.square(codes[1][:, 1:] - codes[0][:, 1:])
    return np.asarray(10 / np.log(10) * np.sqrt(squares.sum(axis=1)))
