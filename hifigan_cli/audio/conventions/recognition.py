"""What scale a mel is on, and which tools have such mels.

The rules ask first what no natural log of sound within full scale can be: values that are too low
or too high, a floor of another logarithm, normalization. Only then, and only where the range leaves
it open, the ruler of `Evidence.step` decides. A mel of the expected convention is never to be
refused; another that passes for it (log10 of loud noise) is the lesser evil.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hifigan_cli.audio.conventions.scales import FLOOR, LOG_FLOOR, SCALES
from hifigan_cli.audio.filterbank import filterbank

if TYPE_CHECKING:
    from collections.abc import Callable

    from hifigan_cli.audio.conventions.evidence import Evidence
    from hifigan_cli.config import MelConfig

# A predicted mel may pass the floor a little; nothing that speech gives comes near these.
LOWEST, HIGHEST = LOG_FLOOR - 3.0, 5.0
# What full scale gives at most, with windows of up to 2048 samples; `full_scale` knows better.
_FULL_SCALE = 3.6
_MARGIN = 0.2
_DECIBELS_BELOW, _DECIBELS_ABOVE = -26.0, 15.0  # where no logarithm of base 2 or more comes
_FLOOR_SHARE = 1e-3  # of values that are the lowest: a floor, not chance
_NEAR = 0.01  # to a floor; what half precision leaves of it
_NEAR_FLOOR = 0.02
_LEAST_FRAMES = 16  # for measures that look at time
_LEAST_SPREAD = 0.5  # values that hardly differ, such as those of silence, tell nothing
# Of the ruler: between the steps of two scales.
_BELOW_LN, _ABOVE_LN, _ABOVE_LOG2, _DECIBEL_STEP = 0.19, 0.43, 0.59, 1.2
_LOG10_MOVEMENT, _LOG10_PAUSE = 0.4, -3.2  # speech moves by so much, and its pauses are so low
_LOG10_FLOOR = -10.05  # below that of 1e-10
_LOG10_LOWEST = -7.5  # of 16 bits and a floor below them
_LOG10_QUIET = -4.3  # the noise of 16 bits
_DEPTH, _CLEAR_DEPTH = 2.0, 2.5  # from the typical value down to the lowest

NORMALIZED = {
    "unit": "a mel normalized to 0..1",
    "symmetric": "a mel normalized to a symmetric range, such as -4..4",
    "standardized": "a mel with mean and variance removed",
    "whisper": "the input of a Whisper recognizer",
    "loud": "a logarithm of power, of filters without equal areas, or of samples beyond full scale",
}
_PAST_FLOOR = 0.1  # a computed mel has nothing below its floor
_LN_FLOORS = {power: power * math.log(10) for power in (-6, -7, -8, -9, -10, -12)}


@dataclass(frozen=True)
class Recognition:
    """What a mel looks like.

    Attributes:
        kind: the name of a scale, or a key of NORMALIZED.
        why: what gave it away.
        certain: whether it can be nothing else, as far as is known.
    """

    kind: str
    why: str
    certain: bool = True

    @property
    def title(self) -> str:
        """The kind in words."""
        return SCALES[self.kind].title if self.kind in SCALES else NORMALIZED[self.kind]


def full_scale(mel: MelConfig) -> float:
    """Return the highest log-mel that samples within full scale give, for a convention.

    It is half the window's sum, of a tone, through the middle of the narrowest filter. Tones come
    within 0.5 of it.
    """
    return math.log(mel.win_length / 2 * float(filterbank(mel).max())) + _MARGIN


def recognize(evidence: Evidence, full: float = _FULL_SCALE) -> Recognition:
    """Recognize the scale of a mel; natural log is what nothing speaks against.

    `full` is the highest value that the expected convention has, as `full_scale` tells it. A mel
    with values that are not numbers is to be refused before.
    """
    for rule in _RULES:
        found = rule(evidence, full)
        if found:
            return found
    if evidence.at_floor and abs(evidence.low - LOG_FLOOR) < _NEAR:
        return Recognition("ln", _floor_words(evidence))
    why = f"values from {evidence.low:.3g} to {evidence.high:.3g}"
    return Recognition("ln", why, certain=False)


def surely_ln(evidence: Evidence) -> bool:
    """Tell a mel that recognition calls `ln` from the log10 of power, which looks much like it.

    Its changes from frame to frame are those of the natural log, and its lowest values are below
    the usual floor of the log10 of power.
    """
    return evidence.low < _LOG10_FLOOR and _BELOW_LN < evidence.step < _ABOVE_LN


def _floor_words(e: Evidence) -> str:
    return f"{100 * e.at_floor:.2g} % of the values are {e.low:.4g}"


def _positive(e: Evidence, full: float) -> Recognition | None:
    """Values of which none is negative: no logarithm, or shifted."""
    if e.low < 0 or e.spread < 1e-6 or (e.low > 0.01 * e.high and e.spread < _LEAST_SPREAD / 2):
        return None
    why = f"no value is negative, the highest is {e.high:.3g}"
    if e.typical > 0.1 * e.high:
        if e.high <= 1.001:
            return Recognition("unit", why)
        return Recognition("db" if e.high > _DECIBELS_ABOVE else "loud", why)
    steep = e.log_step > _ABOVE_LN or e.high > math.exp(full)
    return Recognition("power" if steep else "magnitude", why)


def _far(e: Evidence, _full: float) -> Recognition | None:
    """Values out of reach of every logarithm but decibels."""
    if e.low >= _DECIBELS_BELOW and e.high <= _DECIBELS_ABOVE:
        return None
    # A band of nearly no variance may have been divided by it.
    calm = 0 < e.step < _ABOVE_LN and e.offset < 1.0
    return Recognition("standardized" if calm else "db", f"values from {e.low:.3g} to {e.high:.3g}")


def _below(e: Evidence, full: float) -> Recognition | None:
    """Values below the floor of the natural log of magnitudes."""
    if e.low >= LOG_FLOOR - _PAST_FLOOR or (e.low >= LOWEST and e.step < _ABOVE_LN):
        return None
    why = f"the lowest value is {e.low:.4g}"
    if e.step > _DECIBEL_STEP:
        return Recognition("db", why)
    if e.at_floor > _FLOOR_SHARE:
        if abs(e.low - math.log2(FLOOR)) < 2 * _NEAR:
            return Recognition("log2", f"{why}, the log2 of 1e-5")
        for power, floor in _LN_FLOORS.items():
            if abs(e.low - floor) < 2 * _NEAR:
                of_power = e.step > _ABOVE_LN
                kind = "ln-power" if of_power else "loud" if e.high > full else "ln"
                return Recognition(kind, f"{why}, the natural log of 1e{power}")
    if e.step < _ABOVE_LN:
        return Recognition("loud" if e.high > full else "ln", why)
    is_log2 = e.high <= full and e.low >= math.log2(FLOOR) - _NEAR and e.step < _ABOVE_LOG2
    return Recognition("log2" if is_log2 else "ln-power", why)


def _above(e: Evidence, full: float) -> Recognition | None:
    """Values that full scale does not reach."""
    if e.high <= full:
        return None
    why = f"the highest value is {e.high:.3g}, full scale gives {full:.2g} at most"
    if e.step > _DECIBEL_STEP:
        return Recognition("db", why)
    if e.low > -4.5 and e.typical > -2.0:
        return Recognition("symmetric" if e.low < -1.5 or e.high < 4.001 else "loud", why)
    if e.step > _ABOVE_LN:
        return Recognition("ln-power", why)
    return Recognition("loud", why, certain=e.high > HIGHEST)


def _floors(e: Evidence, full: float) -> Recognition | None:
    """A lowest value that many cells share: the floor of another convention."""
    if e.at_floor < _FLOOR_SHARE or e.spread < _LEAST_SPREAD:
        return None
    why = _floor_words(e)
    if abs(e.low + 10) < _NEAR:
        return Recognition("log10-power" if e.step > _BELOW_LN else "log10", why)
    if abs(e.spread - 2) < 1e-3 and e.low > -3:
        return Recognition("whisper", f"{why}, 2 below the highest")
    if abs(e.low + 5) < _NEAR and e.high < full / math.log(10):
        return Recognition("log10", why)
    for edge in (4.0, 1.0):
        if abs(e.low + edge) < 1e-3 and e.high <= edge + 1e-3:
            return Recognition("symmetric", why)
    return None


def _standardized(e: Evidence, _full: float) -> Recognition | None:
    """Bands that all move about zero."""
    if e.frames < _LEAST_FRAMES or not (e.offset < 0.5 and 0.6 < e.movement < 1.5):
        return None
    return Recognition("standardized", f"every band moves about 0, by {e.movement:.2g}")


def _log10(e: Evidence, full: float) -> Recognition | None:
    """Values in the range of both logarithms: the ruler decides, where there is speech."""
    if e.frames < _LEAST_FRAMES or not _LOG10_LOWEST <= e.low <= _LOG10_PAUSE:
        return None
    if e.high >= full / math.log(10) or e.movement < _LOG10_MOVEMENT or not 0 < e.step < _BELOW_LN:
        return None
    # A prediction is smoother than a recording; of noisy speech, its pauses lie close together.
    depth = e.typical - e.low
    if e.low < -5 - _NEAR and depth < _CLEAR_DEPTH:
        return None
    certain = -5 - _NEAR <= e.low < _LOG10_QUIET and depth > _DEPTH
    why = f"from {e.low:.3g} to {e.high:.3g}, by {e.step:.2f} a frame"
    return Recognition("log10", why, certain=certain)


_RULES: tuple[Callable[[Evidence, float], Recognition | None], ...] = (
    _positive,
    _far,
    _below,
    _floors,
    _standardized,
    _above,
    _log10,
)


@dataclass(frozen=True)
class MelOrigin:
    """Mels of one habit: bands, kind, the floor where there is one; its tools, rate and hop.

    The values of a mel do not show its rate and hop; but bands, scale and floor together are those
    of few tools.
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
    MelOrigin(100, "loud", -16.118, "Vocos at 24 kHz", 24_000, 256),
    MelOrigin(80, "log10", -10.0, "ESPnet, ParallelWaveGAN", 22_050, 256),
    MelOrigin(80, "log10", -10.0, "SpeechT5", 16_000, 256),
    MelOrigin(80, "whisper", None, "Whisper", 16_000, 160),
    MelOrigin(128, "whisper", None, "Whisper large-v3", 16_000, 160),
)


def likely_origins(n_mels: int, found: Recognition, evidence: Evidence) -> list[MelOrigin]:
    """List the origins that a mel of so many bands may have; none where nothing is known."""
    floor = evidence.low if evidence.at_floor else None
    return [
        origin
        for origin in _ORIGINS
        if (origin.n_mels, origin.kind) == (n_mels, found.kind)
        and (origin.floor is None or floor is None or abs(floor - origin.floor) < _NEAR_FLOOR)
    ]
