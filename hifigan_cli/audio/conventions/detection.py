"""Detect the scale of a mel, and the tools that compute mels of this kind.

The rules first exclude the natural log of sound within full scale: by values that are too low or
too high, by the floor of another logarithm, by normalization. If the range fits several
scales, `MelStatistics.median_frame_delta` decides. A mel of the expected convention must never be
rejected. If in doubt, the rules accept a mel, even if it has another convention (log10 of loud
noise).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hifigan_cli.audio.conventions.scales import FLOOR, LOG_FLOOR, SCALES
from hifigan_cli.audio.filterbank import filterbank

if TYPE_CHECKING:
    from collections.abc import Callable

    from hifigan_cli.audio.conventions.mel_statistics import MelStatistics
    from hifigan_cli.config import MelConfig

# A predicted mel may lie a little below the floor. No mel of speech comes near these limits.
MIN_PLAUSIBLE, MAX_PLAUSIBLE = LOG_FLOOR - 3.0, 5.0
# The highest value at full scale for windows of up to 2048 samples; `max_log_mel` computes it for a
# specific window.
_MAX_LOG_MEL = 3.6
_MARGIN = 0.2
_DECIBELS_BELOW, _DECIBELS_ABOVE = -26.0, 15.0  # no logarithm of base 2 or more goes beyond these
_MIN_FLOOR_SHARE = 1e-3  # share of the lowest value from which it is a floor, not chance
_TOLERANCE = 0.01  # floors in half precision differ by up to this error
_TOOL_TOLERANCE = 0.02
_MIN_FRAMES = 16  # statistics over time need this many
_MIN_SPREAD = 0.5  # values that differ less, as in silence, reveal nothing
# Limits of `MelStatistics.median_frame_delta` between two scales.
_LN_MIN_DELTA, _LN_MAX_DELTA, _LOG2_MAX_DELTA, _DECIBEL_MIN_DELTA = 0.19, 0.43, 0.59, 1.2
_LOG10_MIN_STD, _LOG10_MAX_PAUSE = 0.4, -3.2  # limits for speech: temporal std, pauses
_LOG10_FLOOR = -10.05  # just below the log10 of 1e-10
_LOG10_MIN = -7.5  # lowest log10 value of 16-bit audio, or a floor below it
_LOG10_QUIET = -4.3  # log10 value of the noise of 16-bit audio
_MIN_DEPTH, _CLEAR_DEPTH = 2.0, 2.5  # distances of the lowest value from the median

NORMALIZED = {
    "unit": "a mel normalized to 0..1",
    "symmetric": "a mel normalized to a symmetric range, such as -4..4",
    "standardized": "a mel with mean and variance removed",
    "whisper": "the input of a Whisper recognizer",
    "above_full_scale": "a logarithm of power, of filters without equal areas, or of samples "
    "beyond full scale",
}
_FLOOR_MARGIN = 0.1  # a computed mel has no value below its floor
_LN_FLOORS = {power: power * math.log(10) for power in (-6, -7, -8, -9, -10, -12)}


@dataclass(frozen=True)
class DetectedScale:
    """The scale that a mel appears to be on.

    Attributes:
        kind: the name of a scale, or a key of NORMALIZED.
        reason: the values that led to it.
        certain: whether every other known scale is excluded.
    """

    kind: str
    reason: str
    certain: bool = True

    @property
    def title(self) -> str:
        """The kind in words."""
        return SCALES[self.kind].title if self.kind in SCALES else NORMALIZED[self.kind]


def max_log_mel(mel: MelConfig) -> float:
    """Return an upper bound of the log-mel of samples within full scale, for a convention.

    It is the value of a tone (half the sum of the window) in the middle of the narrowest filter.
    Tones come within 0.5 of it.
    """
    return math.log(mel.win_length / 2 * float(filterbank(mel).max())) + _MARGIN


def detect_scale(statistics: MelStatistics, max_ln: float = _MAX_LOG_MEL) -> DetectedScale:
    """Detect the scale of a mel; it is the natural log if no rule applies.

    `max_ln` is the `max_log_mel` of the expected convention. The caller must reject a mel with
    NaN or infinite values first.
    """
    for rule in _RULES:
        scale = rule(statistics, max_ln)
        if scale:
            return scale
    if statistics.floor_share and abs(statistics.low - LOG_FLOOR) < _TOLERANCE:
        return DetectedScale("ln", _floor_reason(statistics))
    reason = f"values from {statistics.low:.3g} to {statistics.high:.3g}"
    return DetectedScale("ln", reason, certain=False)


def is_certainly_ln(statistics: MelStatistics) -> bool:
    """Return whether a mel detected as `ln` cannot be the log10 of power, which looks much like it.

    Log10 of power is excluded if the frame-to-frame changes are those of a natural log and the
    lowest values are below the usual floor of the log10 of power.
    """
    return (
        statistics.low < _LOG10_FLOOR
        and _LN_MIN_DELTA < statistics.median_frame_delta < _LN_MAX_DELTA
    )


def _floor_reason(s: MelStatistics) -> str:
    return f"{100 * s.floor_share:.2g} % of the values are {s.low:.4g}"


def _rule_no_negative_values(s: MelStatistics, max_ln: float) -> DetectedScale | None:
    """Detect mels without negative values: they have no logarithm, or are shifted."""
    if s.low < 0 or s.spread < 1e-6 or (s.low > 0.01 * s.high and s.spread < _MIN_SPREAD / 2):
        return None
    reason = f"no value is negative, the highest is {s.high:.3g}"
    if s.median > 0.1 * s.high:
        if s.high <= 1.001:
            return DetectedScale("unit", reason)
        return DetectedScale("db" if s.high > _DECIBELS_ABOVE else "above_full_scale", reason)
    large_deltas = s.median_log_frame_delta > _LN_MAX_DELTA or s.high > math.exp(max_ln)
    return DetectedScale("power" if large_deltas else "magnitude", reason)


def _rule_beyond_log_range(s: MelStatistics, _max_ln: float) -> DetectedScale | None:
    """Detect values beyond every logarithm except decibels."""
    if s.low >= _DECIBELS_BELOW and s.high <= _DECIBELS_ABOVE:
        return None
    # The values of a nearly constant band may have been divided by its tiny standard deviation.
    small_deltas = 0 < s.median_frame_delta < _LN_MAX_DELTA and s.band_mean_rms < 1.0
    kind = "standardized" if small_deltas else "db"
    return DetectedScale(kind, f"values from {s.low:.3g} to {s.high:.3g}")


def _rule_below_ln_floor(s: MelStatistics, max_ln: float) -> DetectedScale | None:
    """Detect values below the floor of the natural log of magnitudes."""
    if s.low >= LOG_FLOOR - _FLOOR_MARGIN or (
        s.low >= MIN_PLAUSIBLE and s.median_frame_delta < _LN_MAX_DELTA
    ):
        return None
    reason = f"the lowest value is {s.low:.4g}"
    if s.median_frame_delta > _DECIBEL_MIN_DELTA:
        return DetectedScale("db", reason)
    if s.floor_share > _MIN_FLOOR_SHARE:
        if abs(s.low - math.log2(FLOOR)) < 2 * _TOLERANCE:
            return DetectedScale("log2", f"{reason}, the log2 of 1e-5")
        for power, floor in _LN_FLOORS.items():
            if abs(s.low - floor) < 2 * _TOLERANCE:
                is_power = s.median_frame_delta > _LN_MAX_DELTA
                kind = "ln-power" if is_power else "above_full_scale" if s.high > max_ln else "ln"
                return DetectedScale(kind, f"{reason}, the natural log of 1e{power}")
    if s.median_frame_delta < _LN_MAX_DELTA:
        return DetectedScale("above_full_scale" if s.high > max_ln else "ln", reason)
    is_log2 = (
        s.high <= max_ln
        and s.low >= math.log2(FLOOR) - _TOLERANCE
        and s.median_frame_delta < _LOG2_MAX_DELTA
    )
    return DetectedScale("log2" if is_log2 else "ln-power", reason)


def _rule_above_full_scale(s: MelStatistics, max_ln: float) -> DetectedScale | None:
    """Detect values above those of full scale."""
    if s.high <= max_ln:
        return None
    reason = f"the highest value is {s.high:.3g}, the maximum at full scale is {max_ln:.2g}"
    if s.median_frame_delta > _DECIBEL_MIN_DELTA:
        return DetectedScale("db", reason)
    if s.low > -4.5 and s.median > -2.0:
        return DetectedScale(
            "symmetric" if s.low < -1.5 or s.high < 4.001 else "above_full_scale", reason
        )
    if s.median_frame_delta > _LN_MAX_DELTA:
        return DetectedScale("ln-power", reason)
    return DetectedScale("above_full_scale", reason, certain=s.high > MAX_PLAUSIBLE)


def _rule_other_floor(s: MelStatistics, max_ln: float) -> DetectedScale | None:
    """Detect the floor of another convention: many cells share the lowest value."""
    if s.floor_share < _MIN_FLOOR_SHARE or s.spread < _MIN_SPREAD:
        return None
    reason = _floor_reason(s)
    if abs(s.low + 10) < _TOLERANCE:
        return DetectedScale(
            "log10-power" if s.median_frame_delta > _LN_MIN_DELTA else "log10", reason
        )
    if abs(s.spread - 2) < 1e-3 and s.low > -3:
        return DetectedScale("whisper", f"{reason}, 2 below the highest")
    if abs(s.low + 5) < _TOLERANCE and s.high < max_ln / math.log(10):
        return DetectedScale("log10", reason)
    for edge in (4.0, 1.0):
        if abs(s.low + edge) < 1e-3 and s.high <= edge + 1e-3:
            return DetectedScale("symmetric", reason)
    return None


def _rule_standardized(s: MelStatistics, _max_ln: float) -> DetectedScale | None:
    """Detect bands that all vary around zero."""
    if s.frames < _MIN_FRAMES or not (s.band_mean_rms < 0.5 and 0.6 < s.temporal_std < 1.5):
        return None
    return DetectedScale("standardized", f"every band varies around 0 by {s.temporal_std:.2g}")


def _rule_log10(s: MelStatistics, max_ln: float) -> DetectedScale | None:
    """Detect log10 in the range of both logarithms, by the frame-to-frame changes of speech."""
    if s.frames < _MIN_FRAMES or not _LOG10_MIN <= s.low <= _LOG10_MAX_PAUSE:
        return None
    if (
        s.high >= max_ln / math.log(10)
        or s.temporal_std < _LOG10_MIN_STD
        or not 0 < s.median_frame_delta < _LN_MIN_DELTA
    ):
        return None
    # Predicted mels are smoother than recorded ones; in noisy speech the pauses are close together.
    depth = s.median - s.low
    if s.low < -5 - _TOLERANCE and depth < _CLEAR_DEPTH:
        return None
    certain = -5 - _TOLERANCE <= s.low < _LOG10_QUIET and depth > _MIN_DEPTH
    reason = (
        f"values from {s.low:.3g} to {s.high:.3g}, "
        f"median change from frame to frame {s.median_frame_delta:.2f}"
    )
    return DetectedScale("log10", reason, certain=certain)


_RULES: tuple[Callable[[MelStatistics, float], DetectedScale | None], ...] = (
    _rule_no_negative_values,
    _rule_beyond_log_range,
    _rule_below_ln_floor,
    _rule_other_floor,
    _rule_standardized,
    _rule_above_full_scale,
    _rule_log10,
)


@dataclass(frozen=True)
class MelOrigin:
    """Tools that compute one kind of mel: its bands, scale and floor, their sample rate and hop.

    The values of a mel do not reveal its sample rate and hop, but few tools share the number of
    bands, the scale and the floor. `floor` is None where it varies.
    """

    n_mels: int
    kind: str
    floor: float | None
    tools: str
    sample_rate: int
    hop_length: int


_ORIGINS = (
    MelOrigin(80, "ln", LOG_FLOOR, "HiFi-GAN's presets, Tacotron 2, FastSpeech 2", 22_050, 256),
    MelOrigin(100, "ln", LOG_FLOOR, "BigVGAN at 24 kHz", 24_000, 256),
    MelOrigin(128, "ln", LOG_FLOOR, "BigVGAN at 44.1 kHz", 44_100, 512),
    MelOrigin(128, "ln", LOG_FLOOR, "the HiFi-GAN of bshall", 16_000, 160),
    MelOrigin(100, "ln", -16.118, "Vocos at 24 kHz", 24_000, 256),
    MelOrigin(100, "above_full_scale", -16.118, "Vocos at 24 kHz", 24_000, 256),
    MelOrigin(80, "log10", -10.0, "ESPnet, ParallelWaveGAN", 22_050, 256),
    MelOrigin(80, "log10", -10.0, "SpeechT5", 16_000, 256),
    MelOrigin(80, "whisper", None, "Whisper", 16_000, 160),
    MelOrigin(128, "whisper", None, "Whisper large-v3", 16_000, 160),
)


def likely_origins(n_mels: int, scale: DetectedScale, statistics: MelStatistics) -> list[MelOrigin]:
    """List the known origins that a mel with `n_mels` bands may have."""
    floor = statistics.low if statistics.floor_share else None
    return [
        origin
        for origin in _ORIGINS
        if (origin.n_mels, origin.kind) == (n_mels, scale.kind)
        and (origin.floor is None or floor is None or abs(floor - origin.floor) < _TOOL_TOLERANCE)
    ]
