"""Noise for a mix: recorded, at another rate and through another filter, or made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.fft
import soxr

from hifigan_cli.enhancement.augmentation.filters import filtered, random_curve

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Wave = npt.NDArray[np.float64]

_MADE = 0.15  # of all noises


def draw_noise(
    draw: np.random.Generator,
    recordings: Sequence[npt.NDArray[np.float32]],
    samples: int,
    rate_hz: int,
    *,
    varied: bool,
) -> Wave:
    """Return noise `(samples,)` of RMS 1; `varied` allows other rates, filters and made noise."""
    if varied and draw.random() < _MADE:
        noise = _coloured(draw, samples, rate_hz)
    else:
        noise = _recorded(draw, recordings, samples, rate_hz, varied=varied)
    even: Wave = noise / (np.sqrt(np.mean(noise**2)) + 1e-9)
    return even


def _coloured(draw: np.random.Generator, samples: int, rate_hz: int) -> Wave:
    """Make noise between white and brown, its level perhaps moving slowly."""
    bins = samples // 2 + 1
    spectrum = draw.normal(size=bins) + 1j * draw.normal(size=bins)
    spectrum *= np.maximum(np.fft.rfftfreq(samples, 1 / rate_hz), 20.0) ** -draw.uniform(0, 1)
    noise: Wave = scipy.fft.irfft(spectrum, samples)
    if draw.random() < 0.4:
        points = np.linspace(0, samples, 8)
        noise = noise * np.interp(np.arange(samples), points, draw.uniform(0.3, 1.0, 8))
    return noise


def _recorded(
    draw: np.random.Generator,
    recordings: Sequence[npt.NDArray[np.float32]],
    samples: int,
    rate_hz: int,
    *,
    varied: bool,
) -> Wave:
    """Take a stretch of a recording, repeated where it is short."""
    recording = recordings[int(draw.integers(len(recordings)))]
    rate = draw.uniform(0.75, 1.35) if varied and draw.random() < 0.7 else 1.0
    needed = int(samples * rate) + 256
    if len(recording) < needed:
        recording = np.tile(recording, -(-needed // len(recording)))
    start = draw.integers(len(recording) - needed + 1)
    noise: Wave = recording[start : start + needed].astype(np.float64)
    if rate != 1.0:
        noise = soxr.resample(noise, rate_hz * rate, rate_hz, quality="LQ")
    noise = noise[:samples]
    if varied and draw.random() < 0.7:
        noise = filtered(noise, rate_hz, random_curve(draw, rate_hz, 5.0))
    return noise
