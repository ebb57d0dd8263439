"""A reference log-mel in plain float64 numpy, written from the documented convention only.

It shares no code with `hifigan_cli`, so that it does not repeat its mistakes.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hifigan_cli.types import DoubleArray


def slaney_mel(hz: float) -> float:
    """Convert Hz to Slaney's mel: linear below 1 kHz, logarithmic above."""
    return 3 * hz / 200 if hz < 1000 else 15 + 27 * math.log(hz / 1000) / math.log(6.4)


def slaney_hz(mel: float) -> float:
    return 200 * mel / 3 if mel < 15 else 1000 * math.exp((mel - 15) * math.log(6.4) / 27)


def filterbank(sample_rate: int, n_fft: int, n_mels: int, fmin: float, fmax: float) -> DoubleArray:
    """Return triangles of area 1 in Hz, `(n_mels, bins)`, one weight at a time."""
    low, high = slaney_mel(fmin), slaney_mel(fmax)
    step = (high - low) / (n_mels + 1)
    edges = [slaney_hz(low + i * step) for i in range(n_mels + 2)]
    bank = np.zeros((n_mels, n_fft // 2 + 1))
    for band, (left, center, right) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        for bin_ in range(n_fft // 2 + 1):
            hz = bin_ * sample_rate / n_fft
            if left < hz <= center:
                bank[band, bin_] = (hz - left) / (center - left)
            elif center < hz < right:
                bank[band, bin_] = (right - hz) / (right - center)
        bank[band] *= 2 / (right - left)
    return bank


def log_mel(
    samples: npt.ArrayLike,
    sample_rate: int = 22_050,
    n_fft: int = 1024,
    hop: int = 256,
    win: int = 1024,
    n_mels: int = 80,
    fmin: float = 0,
    fmax: float = 8000,
) -> DoubleArray:
    signal = np.asarray(samples, np.float64)
    pad = (n_fft - hop) // 2
    left, right = signal[pad:0:-1], signal[-2 : -pad - 2 : -1]
    padded = np.concatenate([left, signal, right])
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win) / win)
    before = (n_fft - win) // 2
    window = np.pad(hann, (before, n_fft - win - before))
    bank = filterbank(sample_rate, n_fft, n_mels, fmin, fmax)
    frames = []
    for start in range(0, len(padded) - n_fft + 1, hop):
        spectrum = np.fft.rfft(padded[start : start + n_fft] * window)
        magnitude = np.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-9)
        frames.append(np.log(np.maximum(bank @ magnitude, 1e-5)))
    return np.stack(frames, axis=1)
