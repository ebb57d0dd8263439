"""Small spectral tools: filters given as gains over frequency, and curves drawn at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.fft

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Wave = npt.NDArray[np.float64]


def filtered(wave: Wave, rate_hz: int, gain: Callable[[Wave], Wave]) -> Wave:
    """Apply gains over frequency to `(samples,)`; `gain` maps frequencies in Hz to factors."""
    size = scipy.fft.next_fast_len(len(wave), real=True)
    spectrum = scipy.fft.rfft(wave, size)
    frequencies = np.fft.rfftfreq(size, 1 / rate_hz).astype(np.float64)
    result: Wave = scipy.fft.irfft(spectrum * gain(frequencies), size)[: len(wave)]
    return result


def convolved(wave: Wave, response: Wave) -> Wave:
    """Convolve `(samples,)` with a response; the result has both lengths together."""
    size = scipy.fft.next_fast_len(len(wave) + len(response), real=True)
    product = scipy.fft.rfft(wave, size) * scipy.fft.rfft(response, size)
    result: Wave = scipy.fft.irfft(product, size)
    return result


def random_curve(
    draw: np.random.Generator, rate_hz: int, deviation_db: float
) -> Callable[[Wave], Wave]:
    """Draw a smooth frequency response: a gain at each of seven points, in dB."""
    points = np.concatenate([[0.0], np.geomspace(80.0, rate_hz / 2, 6)])
    gains_db = draw.normal(0.0, deviation_db, len(points))
    return lambda frequencies: 10 ** (np.interp(frequencies, points, gains_db) / 20)


def low_pass(cutoff_hz: float) -> Callable[[Wave], Wave]:
    """Make a steep low-pass, as a codec or a telephone has it."""
    return lambda f: np.clip((cutoff_hz * 1.04 - f) / (cutoff_hz * 0.04), 1e-4, 1.0)


def high_pass(cutoff_hz: float) -> Callable[[Wave], Wave]:
    """Make a gentle high-pass, as a small microphone has it."""
    return lambda f: np.clip(f / cutoff_hz, 1e-3, 1.0)
