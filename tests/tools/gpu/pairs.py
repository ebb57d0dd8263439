"""Noisy, filtered and clean waveforms for the restorer, as a function of a seed and a number."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from hifigan_cli.audio.logmel import log_mel
from hifigan_cli.config import MelConfig
from hifigan_cli.enhancement.augmentation.effects import (
    apply_codec,
    band_limit,
    clip,
    draw_noise,
    draw_rir,
    mix,
    reverberate,
)
from tests.tools.gpu.rirs import draw_shoebox, rir
from tests.tools.gpu.speech import MEL_TOP_HZ, SpeechSampler

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tools.gpu.unpack import Corpus

Wave = npt.NDArray[np.float64]
Mels = npt.NDArray[np.float16]

SAMPLE_RATE, HOP_LENGTH = 22_050, 256
PAIR_FRAMES = 216
LEAD_S = 1.0  # before the pair, for reverberation and for the filter's state
_QUIET = 0.01  # a frame whose peak is below this is without speech
_LEAST_SPEECH = 0.25  # of a pair's frames
_VALIDATION_SEED = 7


class Pair(NamedTuple):
    """Aligned waveforms `(samples,)` each."""

    noisy: Wave
    filtered: Wave
    clean: Wave


@dataclass(frozen=True)
class AugmentationConfig:
    """How often and how strongly clean speech is degraded."""

    untouched: float = 0.05
    room: float = 0.65
    simulated: float = 0.5  # of the rooms; the others are measured
    competing: float = 0.12
    competing_snr_db: tuple[float, float] = (3.0, 12.0)
    babble: float = 0.15
    babble_clips: tuple[int, int] = (4, 8)
    noise: float = 0.9
    second_noise: float = 0.35
    snr_db: tuple[float, float] = (-5.0, 25.0)
    band: float = 0.3
    codec: float = 0.12
    clipping: float = 0.06
    quiet: float = 0.3
    peak_db: tuple[float, float] = (-18.0, 0.0)
    quiet_peak_db: tuple[float, float] = (-45.0, -18.0)
    integer: float = 0.5  # rounded to 16 bits


@dataclass
class BatchPairRenderer:
    """Renders pairs; `noise_filter` maps a waveform and its sample rate to the filtered one."""

    corpus: Corpus
    noise_filter: Callable[[Wave, int], npt.NDArray[np.float32]]
    seed: int
    validation: bool = False
    frames: int = PAIR_FRAMES
    config: AugmentationConfig = field(default_factory=AugmentationConfig)
    top_hz: float = MEL_TOP_HZ  # up to which the clean side must hold something

    def __post_init__(self) -> None:
        self._voices = SpeechSampler(
            self.corpus, SAMPLE_RATE, validation=self.validation, top_hz=self.top_hz
        )
        self._noises = self.corpus.sounds_of("noises", validation=self.validation)
        self._rirs = self.corpus.sounds_of("rirs", validation=self.validation)

    def pair(self, number: int) -> Pair:
        """Render pair `number`."""
        draw = np.random.default_rng((self.seed, _VALIDATION_SEED * self.validation, number))
        lead, samples = int(LEAD_S * SAMPLE_RATE), self.frames * HOP_LENGTH
        while True:
            (recorded, clean), speaker = self._voices.draw(draw, lead + samples)
            peaks = np.abs(clean[lead:]).reshape(self.frames, HOP_LENGTH).max(axis=1)
            if np.mean(peaks > _QUIET) > _LEAST_SPEECH:
                break
        # Either side of the gate may be degraded; the gated one is always the target.
        noisy = self.degraded(draw, recorded if draw.random() < 0.5 else clean, speaker)
        gain = self._gain(draw, noisy)
        noisy = noisy * gain
        if draw.random() < self.config.integer:
            noisy = np.round(noisy * 32_767) / 32_767
        filtered = self.noise_filter(noisy, SAMPLE_RATE)
        return Pair(noisy[lead:], filtered[lead:].astype(np.float64), clean[lead:] * gain)

    def mels(self, number: int) -> Mels:
        """Render pair `number` as log-mels `(3, frames, n_mels)`: noisy, filtered, clean."""
        return mels_of(self.pair(number))

    def degraded(self, draw: np.random.Generator, speech: Wave, speaker: str) -> Wave:
        """Degrade `(samples,)` of speech as a bad recording would."""
        chance = self.config
        if draw.random() < chance.untouched:
            return speech
        wave = self._in_room(draw, speech)
        if draw.random() < chance.competing:
            other, _ = self._voices.draw(draw, len(wave), avoid=speaker)
            other_wave = self._in_room(draw, other[1])
            wave = mix(wave, other_wave, draw.uniform(*chance.competing_snr_db))
        if draw.random() < chance.noise:
            wave = mix(wave, self._noise(draw, len(wave), speaker), draw.uniform(*chance.snr_db))
        if draw.random() < chance.band:
            wave = band_limit(draw, wave, SAMPLE_RATE)
        if draw.random() < chance.clipping:
            wave = clip(draw, wave)
        if draw.random() < chance.codec:
            wave = apply_codec(draw, wave, SAMPLE_RATE)
        return wave

    def _in_room(self, draw: np.random.Generator, speech: Wave) -> Wave:
        """Put `(samples,)` into a room, or none; the direct path stays where it was."""
        if draw.random() >= self.config.room:
            return speech
        if draw.random() < self.config.simulated:
            simulated = rir(draw, draw_shoebox(draw), SAMPLE_RATE).astype(np.float32)
            return reverberate(speech, *draw_rir(draw, [simulated], SAMPLE_RATE, varied=False))
        return reverberate(speech, *draw_rir(draw, self._rirs, SAMPLE_RATE, varied=True))

    def _noise(self, draw: np.random.Generator, samples: int, speaker: str) -> Wave:
        """Return one or two noises `(samples,)`; one may be babble."""
        if draw.random() < self.config.babble:
            noise = self._babble(draw, samples, speaker)
        else:
            noise = draw_noise(draw, self._noises, samples, SAMPLE_RATE, varied=True)
        if draw.random() < self.config.second_noise:
            other = draw_noise(draw, self._noises, samples, SAMPLE_RATE, varied=True)
            noise = noise + other * 10 ** (draw.uniform(-10, 3) / 20)
        return noise

    def _babble(self, draw: np.random.Generator, samples: int, speaker: str) -> Wave:
        """Add several voices up, in one room or none; RMS 1."""
        total = np.zeros(samples)
        least, most = self.config.babble_clips
        for _ in range(int(draw.integers(least, most + 1))):
            voice, _ = self._voices.draw(draw, samples, avoid=speaker)
            level = 10 ** (draw.uniform(-6, 0) / 20) / (np.sqrt(np.mean(voice[1] ** 2)) + 1e-4)
            total += voice[1] * level
        total = self._in_room(draw, total)
        babble: Wave = total / (np.sqrt(np.mean(total**2)) + 1e-9)
        return babble

    def _gain(self, draw: np.random.Generator, noisy: Wave) -> float:
        """Draw the recording's peak level, below full scale."""
        quiet = draw.random() < self.config.quiet
        level_db = draw.uniform(*(self.config.quiet_peak_db if quiet else self.config.peak_db))
        return float(10 ** (level_db / 20) / (np.abs(noisy).max() + 1e-9))


def mels_of(pair: Pair) -> Mels:
    """Return a pair's log-mels `(3, frames, n_mels)`."""
    waves = np.stack(pair).astype(np.float32)
    return log_mel(waves, MelConfig()).transpose(0, 2, 1).astype(np.float16)
