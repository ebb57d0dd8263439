"""One pair of waveforms, noisy and clean, as a function of a seed and a number.

Nothing else is drawn from that stream, so pairs can be rendered in any order, by any number of
processes, again and again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.enhancement.augmentation.channel import band_limited, clipped, coded
from hifigan_cli.enhancement.augmentation.noises import draw_noise
from hifigan_cli.enhancement.augmentation.rirs import draw_room, reverberated

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from hifigan_cli.enhancement.augmentation.speech import SpeechSampler
    from hifigan_cli.enhancement.config import AugmentationConfig

    Wave = npt.NDArray[np.float64]

_QUIET = 0.01  # a peak below this is a stretch without speech
_LEAD_S = 0.5  # rendered before the pair begins, so that reverberation is there from its start


@dataclass(frozen=True)
class PairRenderer:
    """All that pairs are made of.

    Attributes:
        voices: the clean speech.
        noises, rooms: `(samples,)` each, at the speech's rate.
        damage: how often and how strongly.
        seed: of all draws.
    """

    voices: SpeechSampler
    noises: Sequence[npt.NDArray[np.float32]]
    rooms: Sequence[npt.NDArray[np.float32]]
    damage: AugmentationConfig
    seed: int

    def pair(self, number: int, samples: int) -> tuple[Wave, Wave]:
        """Render pair `number`: noisy and clean, `(samples,)` each, in step with each other."""
        draw = np.random.default_rng((self.seed, number))
        lead = int(_LEAD_S * self.voices.data.rate_hz)
        while True:
            recorded, clean = self.voices.draw(draw, lead + samples, self.damage.rate)
            if np.abs(clean[lead:]).max() > _QUIET:
                break
        # Either side of the gate may be what is damaged; the gated one is always the target.
        source = recorded if draw.random() < 0.5 else clean
        noisy = self.degraded(draw, source)
        gain = self._gain(draw, noisy[lead:])
        return noisy[lead:] * gain, clean[lead:] * gain

    def degraded(self, draw: np.random.Generator, speech: Wave) -> Wave:
        """Damage `(samples,)` of speech as a recording would have been."""
        chance, rate_hz, samples = self.damage, self.voices.data.rate_hz, len(speech)
        if draw.random() < chance.untouched:
            return speech
        wave = speech
        if draw.random() < chance.room:
            wave = reverberated(wave, *draw_room(draw, self.rooms, rate_hz, varied=True))
        if draw.random() < chance.noise:
            noise = draw_noise(draw, self.noises, samples, rate_hz, varied=True)
            if draw.random() < chance.second_noise:
                other = draw_noise(draw, self.noises, samples, rate_hz, varied=True)
                noise = noise + other * 10 ** (draw.uniform(-10, 3) / 20)
            wave = mixed(wave, noise, draw.uniform(*chance.snr_db))
        if draw.random() < chance.band:
            wave = band_limited(draw, wave, rate_hz)
        if draw.random() < chance.clipping:
            wave = clipped(draw, wave)
        if draw.random() < chance.codec:
            wave = coded(draw, wave, rate_hz)
        return wave

    def _gain(self, draw: np.random.Generator, noisy: Wave) -> float:
        """Draw the level of the recording, below full scale."""
        level = 10 ** (draw.uniform(*self.damage.level_db) / 20)
        return float(
            min(level / (np.sqrt(np.mean(noisy**2)) + 1e-9), 1.0 / (np.abs(noisy).max() + 1e-9))
        )


def mixed(speech: Wave, noise: Wave, snr_db: float) -> Wave:
    """Add noise to speech at a ratio to the level of the speech where somebody speaks."""
    loud = np.abs(speech) > 0.05 * np.abs(speech).max()
    speech_rms = np.sqrt(np.mean(speech[loud] ** 2)) if loud.any() else 1e-3
    noise_rms = np.sqrt(np.mean(noise**2)) + 1e-9
    result: Wave = speech + noise * (speech_rms / noise_rms * 10 ** (-snr_db / 20))
    return result
