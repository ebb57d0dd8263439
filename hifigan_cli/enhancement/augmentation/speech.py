"""The clean side of a pair: a stretch of a clip, perhaps at another rate, its background gated.

Playing speech at another rate moves pitch and vocal tract together: other voices, and grown men out
of recordings of women. Recordings have a background of their own; a target that keeps it would
teach to leave noise, so it is gated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.fft
import scipy.ndimage
import soxr

if TYPE_CHECKING:
    import numpy.typing as npt

    from hifigan_cli.data.prepared import PreparedData
    from hifigan_cli.data.records import Clip

    Wave = npt.NDArray[np.float64]

_N_FFT, _HOP = 1024, 256
_FLOOR_PERCENTILE = 8  # of a bin's power over the clip: what is there when nobody speaks
_FLOOR_FACTOR = 4.0  # the mean of noise power over that percentile, with a margin
_DEEPEST_DB = -18.0
_BAND_EMPTY_DB = -85.0  # beneath the loudest bin: less than any microphone's own noise


def gated(wave: Wave) -> Wave:
    """Lower the steady background of `(samples,)` by up to 18 dB (spectral gate)."""
    window = np.hanning(_N_FFT + 1)[:-1]
    padded = np.pad(wave, _N_FFT)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _N_FFT)[::_HOP]
    spectrum = scipy.fft.rfft(frames * window, axis=1)
    power = scipy.ndimage.uniform_filter(np.abs(spectrum) ** 2, (3, 3))
    floor = np.percentile(power, _FLOOR_PERCENTILE, axis=0) * _FLOOR_FACTOR
    gain = np.sqrt(np.clip(1 - floor / np.maximum(power, 1e-14), 10 ** (_DEEPEST_DB / 10), 1))
    pieces = scipy.fft.irfft(spectrum * scipy.ndimage.uniform_filter(gain, (3, 3)), axis=1) * window
    result, weight = np.zeros(len(padded)), np.zeros(len(padded))
    for number, piece in enumerate(pieces):
        stretch = slice(number * _HOP, number * _HOP + _N_FFT)
        result[stretch] += piece
        weight[stretch] += window**2
    cleaned: Wave = (result / np.maximum(weight, 1e-3))[_N_FFT : _N_FFT + len(wave)]
    return cleaned


def band_hz(wave: Wave, rate_hz: int) -> float:
    """Return the highest frequency at which `(samples,)` has anything at all."""
    usable = len(wave) // _N_FFT * _N_FFT
    if not usable:
        return rate_hz / 2
    frames = wave[:usable].reshape(-1, _N_FFT) * np.hanning(_N_FFT)
    power = (np.abs(scipy.fft.rfft(frames, axis=1)) ** 2).mean(axis=0)
    there = np.flatnonzero(power > power.max() * 10 ** (_BAND_EMPTY_DB / 10))
    return float((there[-1] if len(there) else 0) * rate_hz / _N_FFT)


class SpeechSampler:
    """Draws stretches of speech from prepared clips.

    Attributes:
        data: the prepared folder.
        clips: those that are drawn from.
    """

    def __init__(self, data: PreparedData, *, validation: bool, top_hz: float) -> None:
        self.data = data
        self.clips = data.validation if validation else data.training
        self._top_hz = top_hz
        self._kept: dict[str, tuple[Wave, Wave, float]] = {}

    def draw(
        self, draw: np.random.Generator, samples: int, rates: tuple[float, float]
    ) -> tuple[Wave, Wave]:
        """Return the same stretch twice, `(samples,)`: as recorded, and gated.

        The rate is never so low that the band which the mel shows runs empty at its top: that
        would teach to cut it off.
        """
        recorded, clean, band = self._clip(self.clips[int(draw.integers(len(self.clips)))])
        lowest = max(rates[0], min(1.0, self._top_hz / max(band, 1.0)))
        rate = draw.uniform(lowest, rates[1]) if draw.random() < 0.75 else 1.0
        needed = int(samples * rate) + 256
        margin = needed // 6  # a pair may begin before the speech does, or end after it
        start = int(draw.integers(-margin, max(len(recorded) - needed + margin, 1 - margin)))
        pair = np.stack([_cut(recorded, start, needed), _cut(clean, start, needed)], axis=1)
        if rate != 1.0:
            whole = self.data.rate_hz
            pair = soxr.resample(pair, whole * rate, whole, quality="HQ")
        return pair[:samples, 0], pair[:samples, 1]

    def _clip(self, clip: Clip) -> tuple[Wave, Wave, float]:
        if clip.name not in self._kept:
            if len(self._kept) >= _KEPT_CLIPS:
                self._kept.pop(next(iter(self._kept)))
            wave = self.data.samples(clip).astype(np.float64)
            self._kept[clip.name] = (wave, gated(wave), band_hz(wave, self.data.rate_hz))
        return self._kept[clip.name]


_KEPT_CLIPS = 400  # of a few seconds each: some 300 MB a process


def _cut(wave: Wave, start: int, samples: int) -> Wave:
    """Take a stretch that may reach beyond both ends, where there is silence."""
    inside = wave[max(start, 0) : max(start + samples, 0)]
    before = min(max(-start, 0), samples)
    return np.pad(inside, (before, samples - before - len(inside)))
