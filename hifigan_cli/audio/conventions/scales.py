"""The scales that mels come on, and the way from each to the natural log of magnitudes.

A logarithm of another base is the natural one times a factor: nothing is lost. A mel of *power*
sums squared magnitudes over a band, which is not the square of their sum; the two differ by
a factor that is nearly the same for every sound: that conversion is near, not exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hifigan_cli.config import MelConfig
    from hifigan_cli.types import AnyArray, DoubleArray, FloatArray

FLOOR = 1e-5
LOG_FLOOR = math.log(FLOOR)  # the log-mel of silence: -11.513

# ln of a band of magnitudes, less half the ln of the same band of power, less half the ln of the
# filter's weight (n_fft / rate, for filters of equal area): measured on speech of five corpora. It
# spreads by 0.10; for noise it is ln(sqrt(pi) / 2) = -0.12, for a pure tone near 0.
_POWER_OFFSET = -0.114


@dataclass(frozen=True)
class MelScale:
    """One scale of mel values.

    Attributes:
        name: as `--mel-as` takes it.
        title: for messages.
        nats: natural-log units of magnitude in one unit of the scale; 0 where there is no log.
        of_power: whether the bands sum squared magnitudes; conversions are then not exact.
        used_by: tools with such mels.
    """

    name: str
    title: str
    nats: float
    of_power: bool = False
    used_by: str = ""

    def to_ln(self, values: AnyArray, mel: MelConfig) -> DoubleArray:
        """Convert values of any shape to the natural log of magnitudes; the floor is not held."""
        found = np.asarray(values, np.float64)
        if self.nats:
            found = found * self.nats
        else:
            found = np.log(np.maximum(found, 1e-30)) * (0.5 if self.of_power else 1.0)
        return found + _power_offset(mel) if self.of_power else found


_TEN = math.log(10)
SCALES: dict[str, MelScale] = {
    scale.name: scale
    for scale in (
        MelScale("ln", "natural log", 1.0, used_by="HiFi-GAN, Tacotron 2, FastSpeech 2, BigVGAN"),
        MelScale("log10", "log10", _TEN, used_by="ESPnet, ParallelWaveGAN, SpeechT5"),
        MelScale("log2", "log2", math.log(2)),
        MelScale("db", "decibels", _TEN / 20, used_by="Coqui TTS before its range"),
        MelScale("magnitude", "magnitudes without a logarithm", 0.0),
        MelScale("ln-power", "natural log of power", 0.5, of_power=True, used_by="Kaldi, NeMo ASR"),
        MelScale("log10-power", "log10 of power", _TEN / 2, of_power=True),
        MelScale("db-power", "decibels of power", _TEN / 20, True, "librosa's power_to_db"),
        MelScale("power", "power without a logarithm", 0.0, True, "librosa, torchaudio"),
    )
}


def table_of_scales() -> str:
    """List what `--mel-as` can name and what each means, for an error's hint."""
    lines = [
        f"  {scale.name:<12} {scale.title}{scale.used_by and f' ({scale.used_by})'}"
        for scale in SCALES.values()
    ]
    return "\n".join(["name the scale of its values with --mel-as:", *lines])


def scale_of(mel: MelConfig) -> MelScale | None:
    """Return the scale of a model's own mel; None where it has no name: shifted, normalised."""
    own = mel.convention
    if own.offset or own.clip or own.guard != "clamp":
        return None
    nats = (_TEN if own.log == "log10" else 1.0) / (own.gain * own.power)
    named = (own.power == 2, nats)
    return next((scale for scale in SCALES.values() if (scale.of_power, scale.nats) == named), None)


def to_model(values: AnyArray, scale: MelScale, mel: MelConfig) -> FloatArray:
    """Convert values on a scale to those that a model reads, its floor, gain and offset included.

    Filters and frames are taken to be the model's.
    """
    own = mel.convention
    level = scale.to_ln(values, mel)
    if own.power == 2:
        level = 2 * (level - _power_offset(mel))
    floor = math.log(own.floor)
    level = np.maximum(level, floor) if own.guard == "clamp" else np.logaddexp(level, floor)
    level = own.gain * (level / _TEN if own.log == "log10" else level) + own.offset
    return (np.clip(level, *own.clip) if own.clip else level).astype(np.float32)


def _power_offset(mel: MelConfig) -> float:
    return 0.5 * math.log(mel.n_fft / mel.sample_rate) + _POWER_OFFSET
