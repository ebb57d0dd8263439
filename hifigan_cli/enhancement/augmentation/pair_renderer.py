"""Render one pair of waveforms, noisy and clean, from a seed and a pair number.

Each pair has its own random generator, so any number of processes can render pairs in any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.enhancement.augmentation.effects import (
    apply_codec,
    band_limit,
    clip,
    draw_noise,
    draw_rir,
    mix,
    reverberate,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hifigan_cli.enhancement.augmentation.sounds import SpeechSampler
    from hifigan_cli.enhancement.config import AugmentationConfig
    from hifigan_cli.types import DoubleArray, FloatArray

_QUIET_PEAK = 0.01  # a segment with a peak below this has no speech
_LEAD_IN_S = 0.5  # rendered and cut off, so that a pair starts with reverberation


@dataclass(frozen=True)
class PairRenderer:
    """Renders noisy and clean waveforms.

    Attributes:
        speech: draws segments of clean speech.
        noises, rirs: recordings `(samples,)` at the sample rate of the speech.
        augmentation: probabilities and ranges.
        seed: seeds every pair, together with its number.
    """

    speech: SpeechSampler
    noises: Sequence[FloatArray]
    rirs: Sequence[FloatArray]
    augmentation: AugmentationConfig
    seed: int

    def pair(self, number: int, samples: int) -> tuple[DoubleArray, DoubleArray]:
        """Render pair `number`: noisy and clean, `(samples,)` each, aligned."""
        rng = np.random.default_rng((self.seed, number))
        lead_in = int(_LEAD_IN_S * self.speech.data.sample_rate)
        while True:
            recorded, clean = self.speech.draw(
                rng, lead_in + samples, self.augmentation.speed_range
            )
            if np.abs(clean[lead_in:]).max() > _QUIET_PEAK:
                break
        # The recorded or the gated speech is augmented; the gated speech is always the target.
        noisy = self._augment(rng, recorded if rng.random() < 0.5 else clean)[lead_in:]
        level = 10 ** (rng.uniform(*self.augmentation.level_db) / 20)
        rms, peak = np.sqrt(np.mean(noisy**2)), np.abs(noisy).max()
        gain = float(min(level / (rms + 1e-9), 1.0 / (peak + 1e-9)))
        return noisy * gain, clean[lead_in:] * gain

    def _augment(self, rng: np.random.Generator, wave: DoubleArray) -> DoubleArray:
        """Apply a random selection of effects to `(samples,)` of speech."""
        config, sample_rate, samples = self.augmentation, self.speech.data.sample_rate, len(wave)
        if rng.random() < config.clean_probability:
            return wave
        if rng.random() < config.reverb_probability:
            wave = reverberate(wave, *draw_rir(rng, self.rirs, sample_rate, varied=True))
        if rng.random() < config.noise_probability:
            noise = draw_noise(rng, self.noises, samples, sample_rate, varied=True)
            if rng.random() < config.second_noise_probability:
                other = draw_noise(rng, self.noises, samples, sample_rate, varied=True)
                noise = noise + other * 10 ** (rng.uniform(-10, 3) / 20)
            wave = mix(wave, noise, rng.uniform(*config.snr_db))
        if rng.random() < config.band_limit_probability:
            wave = band_limit(rng, wave, sample_rate)
        if rng.random() < config.clipping_probability:
            wave = clip(rng, wave)
        if rng.random() < config.codec_probability:
            wave = apply_codec(rng, wave, sample_rate)
        return wave
