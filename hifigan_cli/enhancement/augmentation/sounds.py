"""Where pairs come from: folders of noises and room impulse responses, and clean speech.

Playing speech at another rate moves pitch and vocal tract together: other voices, and low ones out
of recordings of high ones. Recordings have a background of their own; a target that keeps it would
teach the network to leave noise, so it is gated.
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

HELD_OUT_ONE_IN = 8
_N_FFT, _HOP = 1024, 256
_FLOOR_PERCENTILE = 8  # of a bin's power over the clip: its level while nobody speaks
_FLOOR_FACTOR = 4.0  # the mean of noise power over that percentile, with a margin
_DEEPEST_DB = -18.0
_BAND_EMPTY_DB = -85.0  # below the loudest bin: less than any microphone's own noise
_CACHED_CLIPS = 400  # of a few seconds each: some 300 MB a process


def held_out(name: str) -> bool:
    """Return whether a sound of this file name is kept from training.

    It depends on nothing else, so that a later evaluation can use sounds that no training has used.
    """
    return hashlib.sha256(os.fsencode(name)).digest()[0] % HELD_OUT_ONE_IN == 0


def sound_files(folder: Path) -> list[Path]:
    """List the audio files below a folder, sorted.

    Raises:
        InputError: the folder is missing or has none.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    if not found:
        raise InputError(f"{folder} has no audio files", "name a folder of recordings")
    return found


def load_sounds(folder: Path, sample_rate: int, *, validation: bool) -> list[FloatArray]:
    """Read a folder's sounds for training, or those held out, as mono `(samples,)` at a rate.

    A folder too small to spare any gives all of them to both.

    Raises:
        InputError: the folder has no audio, or a file cannot be read.
    """
    files = sound_files(folder)
    chosen = [path for path in files if held_out(path.name) == validation]
    recordings = (read_audio(path).mono() for path in chosen or files)
    return [resample(audio.samples, audio.sample_rate, sample_rate)[0] for audio in recordings]


def fingerprint(folder: Path) -> str:
    """Return a SHA-256 over the names and bytes of a folder's sounds, in hexadecimal.

    Raises:
        InputError: the folder has no audio, or a file cannot be read.
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
        data: the prepared folder.
        clips: those that are drawn from.
    """

    def __init__(self, data: PreparedData, *, validation: bool, top_hz: float) -> None:
        self.data = data
        self.clips = data.validation if validation else data.training
        self._top_hz = top_hz
        self._load = lru_cache(_CACHED_CLIPS)(self._load_clip)

    def draw(
        self, rng: np.random.Generator, samples: int, rates: tuple[float, float]
    ) -> tuple[DoubleArray, DoubleArray]:
        """Return the same segment twice, `(samples,)`: as recorded, and gated.

        The rate is never so low that the band which the mel shows runs empty at its top: that
        would teach the network to cut it off.
        """
        recorded, clean, band_hz = self._load(self.clips[int(rng.integers(len(self.clips)))])
        lowest = max(rates[0], min(1.0, self._top_hz / max(band_hz, 1.0)))
        rate = rng.uniform(lowest, rates[1]) if rng.random() < 0.75 else 1.0
        needed = int(samples * rate) + 256
        margin = needed // 6  # a pair may begin before the speech does, or end after it
        start = int(rng.integers(-margin, max(len(recorded) - needed + margin, 1 - margin)))
        pair = np.stack([_cut(recorded, start, needed), _cut(clean, start, needed)], axis=1)
        if rate != 1.0:
            sample_rate = self.data.sample_rate
            pair = soxr.resample(pair, sample_rate * rate, sample_rate, quality="HQ")
        return pair[:samples, 0], pair[:samples, 1]

    def _load_clip(self, clip: Clip) -> tuple[DoubleArray, DoubleArray, float]:
        wave = self.data.samples(clip).astype(np.float64)
        return wave, spectral_gate(wave), bandwidth_hz(wave, self.data.sample_rate)


def spectral_gate(wave: DoubleArray) -> DoubleArray:
    """Lower the steady background of `(samples,)` by up to 18 dB."""
    window = np.hanning(_N_FFT + 1)[:-1]
    padded = np.pad(wave, _N_FFT)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _N_FFT)[::_HOP]
    spectrum = scipy.fft.rfft(frames * window, axis=1)
    power = scipy.ndimage.uniform_filter(np.abs(spectrum) ** 2, (3, 3))
    floor = np.percentile(power, _FLOOR_PERCENTILE, axis=0) * _FLOOR_FACTOR
    gain = np.sqrt(np.clip(1 - floor / np.maximum(power, 1e-14), 10 ** (_DEEPEST_DB / 10), 1))
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
    used = np.flatnonzero(power > power.max() * 10 ** (_BAND_EMPTY_DB / 10))
    return float((used[-1] if len(used) else 0) * sample_rate / _N_FFT)


def _cut(wave: DoubleArray, start: int, samples: int) -> DoubleArray:
    """Return a segment that may reach beyond both ends, where there is silence."""
    inside = wave[max(start, 0) : max(start + samples, 0)]
    before = min(max(-start, 0), samples)
    return np.pad(inside, (before, samples - before - len(inside)))
