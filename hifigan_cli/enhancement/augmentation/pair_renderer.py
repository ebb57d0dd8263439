"""One pair of waveforms, noisy and clean, as a function of a seed and a number.

Nothing else is drawn from that stream, so any number of processes can render pairs in any order.
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
_LEAD_S = 0.5  # rendered before the pair begins, so that it starts with reverberation


@dataclass(frozen=True)
class PairRenderer:
    """Renders noisy and clean waveforms.

    Attributes:
        speech: the clean speech.
        noises, rirs: `(samples,)` each, at the speech's sample rate.
        augmentation: how often and how strongly.
        seed: of all draws.
    """

    speech: SpeechSampler
    noises: Sequence[FloatArray]
    rirs: Sequence[FloatArray]
    augmentation: AugmentationConfig
    seed: int

    def pair(self, number: int, samples: int) -> tuple[DoubleArray, DoubleArray]:
        """Render pair `number`: noisy and clean, `(samples,)` each, in step with each other."""
        rng = np.random.default_rng((self.seed, number))
        lead = int(_LEAD_S * self.speech.data.sample_rate)
        while True:
            recorded, clean = self.speech.draw(rng, lead + samples, self.augmentation.rate)
            if np.abs(clean[lead:]).max() > _QUIET_PEAK:
                break
        # Either side of the gate may be augmented; the gated one is always the target.
        noisy = self._augment(rng, recorded if rng.random() < 0.5 else clean)[lead:]
        level = 10 ** (rng.uniform(*self.augmentation.level_db) / 20)
        rms, peak = np.sqrt(np.mean(noisy**2)), np.abs(noisy).max()
        gain = float(min(level / (rms + 1e-9), 1.0 / (peak + 1e-9)))
        return noisy * gain, clean[lead:] * gain

    def _augment(self, rng: np.random.Generator, wave: DoubleArray) -> DoubleArray:
        """Change `(samples,)` of speech as a room, noises and a recorder would."""
        chance, sample_rate, samples = self.augmentation, self.speech.data.sample_rate, len(wave)
        if rng.random() < chance.untouched:
            return wave
        if rng.random() < chance.reverb:
            wave = reverberate(wave, *draw_rir(rng, self.rirs, sample_rate, varied=True))
        if rng.random() < chance.noise:
            noise = draw_noise(rng, self.noises, samples, sample_rate, varied=True)
            if rng.random() < chance.second_noise:
                other = draw_noise(rng, self.noises, samples, sample_rate, varied=True)
                noise = noise + other * 10 ** (rng.uniform(-10, 3) / 20)
            wave = mix(wave, noise, rng.uniform(*chance.snr_db))
        if rng.random() < chance.band:
            wave = band_limit(rng, wave, sample_rate)
        if rng.random() < chance.clipping:
            wave = clip(rng, wave)
        if rng.random() < chance.codec:
            wave = apply_codec(rng, wave, sample_rate)
        return wave
