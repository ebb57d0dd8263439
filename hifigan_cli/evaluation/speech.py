"""Speech metrics from optional packages: mel-cepstral distortion, pitch, PESQ and STOI.

All compare a result with its reference. PESQ and STOI do not notice hum or missing high
frequencies, so they must be combined with other metrics.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from hifigan_cli.evaluation.packages import load

if TYPE_CHECKING:
    from hifigan_cli.evaluation.clips import ChannelPair
    from hifigan_cli.types import DoubleArray

_COEFFICIENTS = 24
# Added to WORLD's power; it is below the rounding error of 16 bits, where the log is meaningless.
_POWER_OFFSET = 1e-11
_FRAME_MS = 5.0
_PITCH_RATE = 16_000
_MIN_VOICED_CONFIDENCE = 0.5
_PESQ_RATE = 16_000
_STOI_RATE = 10_000


def cepstral_distortion(pair: ChannelPair) -> dict[str, float | None]:
    """Return `mcd` (Kubichek 1993) in dB: the mean over frames of 5 ms, coefficients 1 to 24.

    WORLD (Morise et al. 2016) removes the pitch from the spectrum. Frames are compared without time
    warping, because a vocoder preserves the timing.

    Raises:
        UsageError: pyworld-prebuilt is not installed.
    """
    world = load("pyworld")
    envelopes = []
    for clip in (pair.reference, pair.generated):
        samples = clip.astype(np.float64)
        pitch_hz, times_s = world.harvest(samples, pair.sample_rate, frame_period=_FRAME_MS)
        envelopes.append(world.cheaptrick(samples, pitch_hz, times_s, pair.sample_rate))
    frames = min(len(power) for power in envelopes)
    distances = envelope_distance_db(envelopes[0][:frames], envelopes[1][:frames], pair.sample_rate)
    return {"mcd": float(distances.mean())}


def envelope_distance_db(
    reference: DoubleArray, generated: DoubleArray, sample_rate: int
) -> DoubleArray:
    """Return the distance of spectral envelopes `(frames, bins)` in dB per frame: `(frames,)`.

    Envelopes are coded as cosine transform coefficients over the mel axis. Without the first
    coefficient, the level, the distance of two codes is the RMS difference of the envelopes.

    Raises:
        UsageError: pyworld-prebuilt is not installed.
    """
    world = load("pyworld")
    codes = [
        world.code_spectral_envelope(power + _POWER_OFFSET, sample_rate, _COEFFICIENTS + 1)
        for power in (reference, generated)
    ]
    squares = np.square(codes[1][:, 1:] - codes[0][:, 1:])
    return np.asarray(10 / np.log(10) * np.sqrt(squares.sum(axis=1)))


def pitch_errors(pair: ChannelPair) -> dict[str, float | None]:
    """Compare pitch tracks from a neural tracker (swift-f0), which buzz and phasiness affect.

    `vuv_error` is the percentage of frames whose voicing differs. `periodicity_rmse` is the RMS
    difference of the voicing confidence. `f0_rmse` is that of the pitch in cents, over frames that
    are voiced in both; None if there are none.

    Raises:
        UsageError: swift-f0 is not installed.
    """
    clips = pair.resampled(_PITCH_RATE)
    reference, generated = (_pitch_tracker().detect(clip, _PITCH_RATE) for clip in clips)
    voiced = [track.confidence >= _MIN_VOICED_CONFIDENCE for track in (reference, generated)]
    both = voiced[0] & voiced[1]
    cents = 1200 * np.log2(generated.pitch_hz[both] / reference.pitch_hz[both])
    return {
        "vuv_error": 100 * float(np.mean(voiced[0] != voiced[1])),
        "periodicity_rmse": _rms(generated.confidence - reference.confidence),
        "f0_rmse": _rms(cents) if both.any() else None,
    }


@lru_cache(maxsize=1)
def _pitch_tracker() -> Any:
    return load("swift_f0").SwiftF0(threads=1, spin=False)


def _rms(values: Any) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def pesq_wideband(pair: ChannelPair) -> dict[str, float | None]:
    """Return `pesq` (ITU-T P.862.2), 1.04 to 4.64; None if PESQ finds no utterance.

    Raises:
        UsageError: pesq is not installed.
    """
    package = load("pesq")
    clips = pair.resampled(_PESQ_RATE)
    if not all(clip.any() for clip in clips):
        return {"pesq": None}  # because PESQ divides by the peak
    try:
        score = float(package.pesq(_PESQ_RATE, *clips, "wb"))
    except package.PesqError:
        return {"pesq": None}
    return {"pesq": score if np.isfinite(score) else None}


def stoi(pair: ChannelPair) -> dict[str, float | None]:
    """Return `stoi` and its extended form `estoi`, up to 1.

    The values are None if less than 0.4 s of the reference is not silent.

    Raises:
        UsageError: pystoi is not installed.
    """
    package = load("pystoi.stoi")
    clips = [clip.astype(np.float64) for clip in pair.resampled(_STOI_RATE)]
    scores: dict[str, float | None] = {}
    for name, extended in (("estoi", True), ("stoi", False)):
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                score = float(package.stoi(*clips, _STOI_RATE, extended=extended))
            except (ValueError, IndexError):  # the clip is shorter than an STOI frame
                score = np.nan
        scores[name] = None if warned or not np.isfinite(score) else score
    return scores
