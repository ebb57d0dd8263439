"""Which tools have such mels, and so the rate and hop that a mel likely has.

The values of a mel say nothing of time; but tools have habits. Bands, scale and floor together are
those of few.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hifigan_cli.audio.conventions.scales import LOG_FLOOR

if TYPE_CHECKING:
    from hifigan_cli.audio.conventions.evidence import Evidence
    from hifigan_cli.audio.conventions.recognition import Verdict

_NEAR = 0.02


@dataclass(frozen=True)
class Family:
    """Mels of one habit: bands, kind, the floor where there is one; its tools, rate and hop."""

    n_mels: int
    kind: str
    floor: float | None
    tools: str
    rate_hz: int
    hop_samples: int


_FAMILIES = (
    Family(80, "ln", LOG_FLOOR, "HiFi-GAN's presets, Tacotron 2, FastSpeech 2", 22_050, 256),
    Family(100, "ln", LOG_FLOOR, "BigVGAN at 24 kHz", 24_000, 256),
    Family(128, "ln", LOG_FLOOR, "BigVGAN at 44.1 kHz", 44_100, 512),
    Family(128, "ln", LOG_FLOOR, "the HiFi-GAN of bshall", 16_000, 160),
    Family(100, "ln", -16.118, "Vocos at 24 kHz", 24_000, 256),
    Family(100, "loud", -16.118, "Vocos at 24 kHz", 24_000, 256),
    Family(80, "log10", -10.0, "ESPnet, ParallelWaveGAN", 22_050, 256),
    Family(80, "log10", -10.0, "SpeechT5", 16_000, 256),
    Family(80, "whisper", None, "Whisper", 16_000, 160),
    Family(128, "whisper", None, "Whisper large-v3", 16_000, 160),
)


def likely(n_mels: int, verdict: Verdict, evidence: Evidence) -> list[Family]:
    """List the families that a mel of so many bands may be of; none where nothing is known."""
    floor = evidence.low if evidence.at_floor else None
    return [
        family
        for family in _FAMILIES
        if (family.n_mels, family.kind) == (n_mels, verdict.kind)
        and (family.floor is None or floor is None or abs(floor - family.floor) < _NEAR)
    ]
