"""Helpers: a test clip, known degradations of it, and folders of clips."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.signal import butter, sosfiltfilt

from hifigan_cli.audio import write_audio
from hifigan_cli.types import FloatArray
from tests.helpers import speech

SAMPLE_RATE = 22_050


@lru_cache(maxsize=16)
def clip(seed: int = 0, length_s: float = 2.0) -> FloatArray:
    """Generate speech-like sound with broadband hiss and pauses of a quarter of a second."""
    rng = np.random.default_rng(seed)
    sound = speech(length_s, SAMPLE_RATE, seed) + 2e-3 * rng.standard_normal(
        round(length_s * SAMPLE_RATE)
    )
    pause = (np.arange(len(sound)) // (SAMPLE_RATE // 4)) % 4 == 3
    return np.where(pause, 2e-4 * rng.standard_normal(len(sound)), sound).astype(np.float32)


def amplify(sound: FloatArray) -> FloatArray:
    return (sound * 10 ** (2 / 20)).astype(np.float32)


def add_hum(sound: FloatArray) -> FloatArray:
    """Add mains hum 56 dB below full scale: negligible in speech, loud in pauses."""
    time_s = np.arange(len(sound)) / SAMPLE_RATE
    return (sound + 1.6e-3 * np.sin(2 * np.pi * 100 * time_s)).astype(np.float32)


def low_pass(sound: FloatArray) -> FloatArray:
    """Remove frequencies above 7 kHz."""
    low = butter(10, 7_000, fs=SAMPLE_RATE, output="sos")
    return np.asarray(sosfiltfilt(low, sound), np.float32)


def add_noise(sound: FloatArray) -> FloatArray:
    """Add white noise 40 dB below full scale."""
    noise = np.random.default_rng(99).standard_normal(len(sound))
    return (sound + 0.01 * noise).astype(np.float32)


def delay(sound: FloatArray, samples: int) -> FloatArray:
    """Delay a clip without changing its length."""
    return np.concatenate([np.zeros(samples, np.float32), sound])[: len(sound)]


def write_folder(folder: Path, sounds: dict[str, FloatArray], suffix: str = ".wav") -> Path:
    for name, sound in sounds.items():
        write_audio(folder / f"{name}{suffix}", sound, SAMPLE_RATE)
    return folder
