"""The scales of mel values, and the conversion from each to the natural log of magnitudes.

A logarithm of another base is the natural one times a factor, so that conversion is exact. A mel of
*power* sums squared magnitudes over a band, which is not the square of their sum. The two differ by
a factor that is nearly the same for every sound, so that conversion is approximate.
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

# The ln of a band of magnitudes, minus half the ln of the same band of power, minus half the ln of
# the filter's weight (n_fft / sample_rate, for filters of equal area), measured on speech of five
# corpora. Its spread is 0.10. For noise it is ln(sqrt(pi) / 2) = -0.12, for a pure tone near 0.
_POWER_OFFSET = -0.114


@dataclass(frozen=True)
class MelScale:
    """One scale of mel values.

    Attributes:
        name: the value of `--mel-as`.
        title: the name in messages.
        nats_per_unit: natural-log units of magnitude per unit of the scale; 0 without a logarithm.
        is_power: whether the bands sum squared magnitudes; conversions are then approximate.
        used_by: tools that compute mels on this scale.
    """

    name: str
    title: str
    nats_per_unit: float
    is_power: bool = False
    used_by: str = ""

    def to_ln(self, values: AnyArray, mel: MelConfig) -> DoubleArray:
        """Convert values of any shape to the natural log of magnitudes, without its floor."""
        ln = np.asarray(values, np.float64)
        if self.nats_per_unit:
            ln = ln * self.nats_per_unit
        else:
            ln = np.log(np.maximum(ln, 1e-30)) * (0.5 if self.is_power else 1.0)
        return ln + _power_offset(mel) if self.is_power else ln


_LN_10 = math.log(10)
SCALES: dict[str, MelScale] = {
    scale.name: scale
    for scale in (
        MelScale("ln", "natural log", 1.0, used_by="HiFi-GAN, Tacotron 2, FastSpeech 2, BigVGAN"),
        MelScale("log10", "log10", _LN_10, used_by="ESPnet, ParallelWaveGAN, SpeechT5"),
        MelScale("log2", "log2", math.log(2)),
        MelScale("db", "decibels", _LN_10 / 20, used_by="Coqui TTS before it normalizes"),
        MelScale("magnitude", "magnitudes without a logarithm", 0.0),
        MelScale("ln-power", "natural log of power", 0.5, is_power=True, used_by="Kaldi, NeMo ASR"),
        MelScale("log10-power", "log10 of power", _LN_10 / 2, is_power=True),
        MelScale("db-power", "decibels of power", _LN_10 / 20, True, "librosa's power_to_db"),
        MelScale("power", "power without a logarithm", 0.0, True, "librosa, torchaudio"),
    )
}


def scale_table() -> str:
    """List the values of `--mel-as` with their meaning, for the hint of an error."""
    lines = [
        f"  {scale.name:<12} {scale.title}{scale.used_by and f' ({scale.used_by})'}"
        for scale in SCALES.values()
    ]
    return "\n".join(["name the scale of its values with --mel-as:", *lines])


def find_scale(mel: MelConfig) -> MelScale | None:
    """Return the scale of a model's own mel, or None if it has no name: shifted or normalized."""
    convention = mel.convention
    if convention.offset or convention.clip or convention.floor_mode != "clamp":
        return None
    nats = (_LN_10 if convention.log == "log10" else 1.0) / (convention.gain * convention.power)
    wanted = (convention.power == 2, nats)
    return next((s for s in SCALES.values() if (s.is_power, s.nats_per_unit) == wanted), None)


def to_model(values: AnyArray, scale: MelScale, mel: MelConfig) -> FloatArray:
    """Convert values on a scale to the mel that a model reads, with its floor, gain and offset.

    The mel must have the filters and frames of the model.
    """
    convention = mel.convention
    ln = scale.to_ln(values, mel)
    if convention.power == 2:
        ln = 2 * (ln - _power_offset(mel))
    floor = math.log(convention.floor)
    ln = np.maximum(ln, floor) if convention.floor_mode == "clamp" else np.logaddexp(ln, floor)
    log = ln / _LN_10 if convention.log == "log10" else ln
    scaled = convention.gain * log + convention.offset
    return (np.clip(scaled, *convention.clip) if convention.clip else scaled).astype(np.float32)


def _power_offset(mel: MelConfig) -> float:
    return 0.5 * math.log(mel.n_fft / mel.sample_rate) + _POWER_OFFSET
