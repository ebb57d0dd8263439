"""Load the sounds that pairs are rendered from: noises, room impulse responses and clean speech.

Playing speech at another rate shifts pitch and formants together. This simulates other voices: a
slowed-down high voice is a lower one. Recordings contain background noise. A target that keeps it
would teach the network to leave noise in, so the target is gated.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import scipy.fft
import scipy.ndimage
import soxr

from hifigan_cli.audio.formats.containers import AUDIO_SUFFIXES
from hifigan_cli.audio.reading import read_audio
from hifigan_cli.audio.resampling import resample
from hifigan_cli.errors import InputError
from hifigan_cli.io.files import open_regular

if TYPE_CHECKING:
    from pathlib import Path

    from hifigan_cli.data.prepared import PreparedData
    from hifigan_cli.data.records import Clip
    from hifigan_cli.types import DoubleArray, FloatArray

HELD_OUT_INTERVAL = 8
_N_FFT, _HOP = 1024, 256
_FLOOR_PERCENTILE = 8  # this percentile of a bin's power is its level without speech
_FLOOR_FACTOR = 4.0  # the ratio of the mean noise power to that percentile, with a margin
_MIN_GAIN_DB = -18.0
_EMPTY_BIN_DB = -85.0  # relative to the loudest bin: less than the noise of any microphone
_CACHED_CLIPS = 400  # clips of a few seconds each: about 300 MB a process


def is_held_out(name: str) -> bool:
    """Return whether a sound with this file name is held out from training.

    This depends only on the name, so a later evaluation can use sounds that no training has used.
    """
    return hashlib.sha256(os.fsencode(name)).digest()[0] % HELD_OUT_INTERVAL == 0


def sound_files(folder: Path) -> list[Path]:
    """List the audio files below a folder, sorted.

    Raises:
        InputError: the folder is missing or has no audio files.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    if not files:
        raise InputError(f"{folder} has no audio files", "choose a folder of recordings")
    return files


def load_sounds(folder: Path, sample_rate: int, *, validation: bool) -> list[FloatArray]:
    """Read the sounds of a folder for training, or the held-out ones, as mono `(samples,)`.

    If a folder is too small to hold any out, training and validation both use all of its sounds.

    Raises:
        InputError: the folder has no audio files, or a file cannot be read.
    """
    files = sound_files(folder)
    chosen = [path for path in files if is_held_out(path.name) == validation]
    recordings = (read_audio(path).mono() for path in chosen or files)
    return [resample(audio.samples, audio.sample_rate, sample_rate)[0] for audio in recordings]


def fingerprint(folder: Path) -> str:
    """Return the hexadecimal SHA-256 of the names and bytes of a folder's sounds.

    Raises:
        InputError: the folder has no audio files, or a file cannot be read.
    """
    digest = hashlib.sha256()
    for path in sound_files(folder):
        digest.update(os.fsencode(f"{path.relative_to(folder)} "))
        with open_regular(path) as stream:  # a FIFO would hang
            digest.update(hashlib.sha256(stream.read()).digest())
    return digest.hexdigest()


class SpeechSampler:
    """Draws segments of speech from prepared clips.

    Attributes:
        data: the prepared speech.
        clips: the clips to draw from.
    """

    def __init__(self, data: PreparedData, *, validation: bool, upper_edge_hz: float) -> None:
        self.data = data
        self.clips = data.validation if validation else data.training
        self._top_hz = upper_edge_hz
        self._load = lru_cache(_CACHED_CLIPS)(self._load_clip)

    def draw(
        self, rng: np.random.Generator, samples: int, speed_range: tuple[float, float]
    ) -> tuple[DoubleArray, DoubleArray]:
        """Draw a segment; return it as recorded and gated, `(samples,)` each.

        The speed is never so low that the highest mel bands become empty, because that would teach
        the network to remove them.
        """
        recorded, clean, band_hz = self._load(self.clips[int(rng.integers(len(self.clips)))])
        lowest = max(speed_range[0], min(1.0, self._top_hz / max(band_hz, 1.0)))
        speed = rng.uniform(lowest, speed_range[1]) if rng.random() < 0.75 else 1.0
        needed = int(samples * speed) + 256
        margin = needed // 6  # a pair may begin before the speech or end after it
        start = int(rng.integers(-margin, max(len(recorded) - needed + margin, 1 - margin)))
        pair = np.stack([_segment(recorded, start, needed), _segment(clean, start, needed)], axis=1)
        if speed != 1.0:
            sample_rate = self.data.sample_rate
            pair = soxr.resample(pair, sample_rate * speed, sample_rate, quality="HQ")
        return pair[:samples, 0], pair[:samples, 1]

    def _load_clip(self, clip: Clip) -> tuple[DoubleArray, DoubleArray, float]:
        wave = self.data.samples(clip).astype(np.float64)
        return wave, spectral_gate(wave), bandwidth_hz(wave, self.data.sample_rate)


def spectral_gate(wave: DoubleArray) -> DoubleArray:
    """Attenuate the steady background noise of `(samples,)` by up to 18 dB."""
    window = np.hanning(_N_FFT + 1)[:-1]
    padded = np.pad(wave, _N_FFT)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _N_FFT)[::_HOP]
    spectrum = scipy.fft.rfft(frames * window, axis=1)
    power = scipy.ndimage.uniform_filter(np.abs(spectrum) ** 2, (3, 3))
    floor = np.percentile(power, _FLOOR_PERCENTILE, axis=0) * _FLOOR_FACTOR
    gain = np.sqrt(np.clip(1 - floor / np.maximum(power, 1e-14), 10 ** (_MIN_GAIN_DB / 10), 1))
    pieces = scipy.fft.irfft(spectrum * scipy.ndimage.uniform_filter(gain, (3, 3)), axis=1) * window
    result, weight = np.zeros(len(padded)), np.zeros(len(padded))
    for start, piece in zip(range(0, len(padded), _HOP), pieces, strict=False):
        result[start : start + _N_FFT] += piece
        weight[start : start + _N_FFT] += window**2
    gated: DoubleArray = (result / np.maximum(weight, 1e-3))[_N_FFT : _N_FFT + len(wave)]
    return gated


def bandwidth_hz(wave: DoubleArray, sample_rate: int) -> float:
    """Return the highest frequency at which `(samples,)` has any energy."""
    usable = len(wave) // _N_FFT * _N_FFT
    if not usable:
        return sample_rate / 2
    frames = wave[:usable].reshape(-1, _N_FFT) * np.hanning(_N_FFT)
    power = (np.abs(scipy.fft.rfft(frames, axis=1)) ** 2).mean(axis=0)
    used = np.flatnonzero(power > power.max() * 10 ** (_EMPTY_BIN_DB / 10))
    return float((used[-1] if len(used) else 0) * sample_rate / _N_FFT)


def _segment(wave: DoubleArray, start: int, samples: int) -> DoubleArray:
    """Return a segment, with silence where it reaches beyond the ends of the wave."""
    inside = wave[max(start, 0) : max(start + samples, 0)]
    before = min(max(-start, 0), samples)
    return np.pad(inside, (before, samples - before - len(inside)))
