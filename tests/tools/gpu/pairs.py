"""Render noisy, filtered and clean waveforms for the restorer, from a seed and a number."""

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
from tests.tools.gpu.speech import MEL_TOP_HZ, SpeechSegmentSampler

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tools.gpu.unpack import UnpackedCorpus

Wave = npt.NDArray[np.float64]
Mels = npt.NDArray[np.float16]

SAMPLE_RATE, HOP_LENGTH = 22_050, 256
PAIR_FRAMES = 216
LEAD_S = 1.0  # audio before the pair, for reverberation and for the state of the filter
_MIN_SPEECH_PEAK = 0.01  # frames with a lower peak count as silence
_MIN_SPEECH_SHARE = 0.25  # of the frames of a pair
_VALIDATION_SEED = 7


class Pair(NamedTuple):
    """Aligned waveforms `(samples,)` each."""

    noisy: Wave
    filtered: Wave
    clean: Wave


@dataclass(frozen=True)
class PairAugmentation:
    """Probabilities and strengths of the degradations of clean speech."""

    untouched: float = 0.05
    reverb: float = 0.65
    simulated: float = 0.5  # share of simulated RIRs; the others are measured
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
    """Render pairs; `noise_filter` maps a waveform and its sample rate to the filtered one."""

    corpus: UnpackedCorpus
    noise_filter: Callable[[Wave, int], npt.NDArray[np.float32]]
    seed: int
    validation: bool = False
    frames: int = PAIR_FRAMES
    config: PairAugmentation = field(default_factory=PairAugmentation)
    top_hz: float = MEL_TOP_HZ  # minimum bandwidth of the clean waveform

    def __post_init__(self) -> None:
        self._speech = SpeechSegmentSampler(
            self.corpus, SAMPLE_RATE, validation=self.validation, top_hz=self.top_hz
        )
        self._noises = self.corpus.select_sounds("noises", validation=self.validation)
        self._rirs = self.corpus.select_sounds("rirs", validation=self.validation)

    def pair(self, number: int) -> Pair:
        """Render pair `number`."""
        rng = np.random.default_rng((self.seed, _VALIDATION_SEED * self.validation, number))
        lead, samples = int(LEAD_S * SAMPLE_RATE), self.frames * HOP_LENGTH
        while True:
            (recorded, clean), speaker = self._speech.draw_speech(rng, lead + samples)
            peaks = np.abs(clean[lead:]).reshape(self.frames, HOP_LENGTH).max(axis=1)
            if np.mean(peaks > _MIN_SPEECH_PEAK) > _MIN_SPEECH_SHARE:
                break
        # The input is the speech before or after the gate; the target is always gated.
        noisy = self.degrade(rng, recorded if rng.random() < 0.5 else clean, speaker)
        gain = self._draw_gain(rng, noisy)
        noisy = noisy * gain
        if rng.random() < self.config.integer:
            noisy = np.round(noisy * 32_767) / 32_767
        filtered = self.noise_filter(noisy, SAMPLE_RATE)
        return Pair(noisy[lead:], filtered[lead:].astype(np.float64), clean[lead:] * gain)

    def mels(self, number: int) -> Mels:
        """Render pair `number` as log-mels `(3, frames, n_mels)`: noisy, filtered, clean."""
        return pair_log_mels(self.pair(number))

    def degrade(self, rng: np.random.Generator, speech: Wave, speaker: str) -> Wave:
        """Degrade speech `(samples,)`, like a bad recording."""
        config = self.config
        if rng.random() < config.untouched:
            return speech
        wave = self._add_reverb(rng, speech)
        if rng.random() < config.competing:
            other, _ = self._speech.draw_speech(rng, len(wave), avoid=speaker)
            other_wave = self._add_reverb(rng, other[1])
            wave = mix(wave, other_wave, rng.uniform(*config.competing_snr_db))
        if rng.random() < config.noise:
            wave = mix(wave, self._noise(rng, len(wave), speaker), rng.uniform(*config.snr_db))
        if rng.random() < config.band:
            wave = band_limit(rng, wave, SAMPLE_RATE)
        if rng.random() < config.clipping:
            wave = clip(rng, wave)
        if rng.random() < config.codec:
            wave = apply_codec(rng, wave, SAMPLE_RATE)
        return wave

    def _add_reverb(self, rng: np.random.Generator, speech: Wave) -> Wave:
        """Add reverberation to `(samples,)`, or none, without moving the direct path."""
        if rng.random() >= self.config.reverb:
            return speech
        if rng.random() < self.config.simulated:
            simulated = rir(rng, draw_shoebox(rng), SAMPLE_RATE).astype(np.float32)
            return reverberate(speech, *draw_rir(rng, [simulated], SAMPLE_RATE, varied=False))
        return reverberate(speech, *draw_rir(rng, self._rirs, SAMPLE_RATE, varied=True))

    def _noise(self, rng: np.random.Generator, samples: int, speaker: str) -> Wave:
        """Return one or two noises `(samples,)`; one may be babble."""
        if rng.random() < self.config.babble:
            noise = self._babble(rng, samples, speaker)
        else:
            noise = draw_noise(rng, self._noises, samples, SAMPLE_RATE, varied=True)
        if rng.random() < self.config.second_noise:
            other = draw_noise(rng, self._noises, samples, SAMPLE_RATE, varied=True)
            noise = noise + other * 10 ** (rng.uniform(-10, 3) / 20)
        return noise

    def _babble(self, rng: np.random.Generator, samples: int, speaker: str) -> Wave:
        """Return the sum of several voices, with one reverberation or none, and an RMS of 1."""
        total = np.zeros(samples)
        min_clips, max_clips = self.config.babble_clips
        for _ in range(int(rng.integers(min_clips, max_clips + 1))):
            voice, _ = self._speech.draw_speech(rng, samples, avoid=speaker)
            level = 10 ** (rng.uniform(-6, 0) / 20) / (np.sqrt(np.mean(voice[1] ** 2)) + 1e-4)
            total += voice[1] * level
        total = self._add_reverb(rng, total)
        babble: Wave = total / (np.sqrt(np.mean(total**2)) + 1e-9)
        return babble

    def _draw_gain(self, rng: np.random.Generator, noisy: Wave) -> float:
        """Draw the recording's peak level, below full scale."""
        quiet = rng.random() < self.config.quiet
        level_db = rng.uniform(*(self.config.quiet_peak_db if quiet else self.config.peak_db))
        return float(10 ** (level_db / 20) / (np.abs(noisy).max() + 1e-9))


def pair_log_mels(pair: Pair) -> Mels:
    """Return a pair's log-mels `(3, frames, n_mels)`."""
    waves = np.stack(pair).astype(np.float32)
    return log_mel(waves, MelConfig()).transpose(0, 2, 1).astype(np.float16)
