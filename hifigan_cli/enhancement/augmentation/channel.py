"""What microphone, line and file do to a recording: band limits, colour, codecs, clipping."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr

from hifigan_cli.enhancement.augmentation.filters import filtered, high_pass, low_pass, random_curve

if TYPE_CHECKING:
    import numpy.typing as npt

    Wave = npt.NDArray[np.float64]

_MU = 255.0  # of G.711's companding
_CODEC_RATES_HZ = (8_000, 16_000)


def band_limited(draw: np.random.Generator, wave: Wave, rate_hz: int) -> Wave:
    """Cut the band at the top, or colour it; now and then thin out the bottom too."""
    if draw.random() < 0.7:
        wave = filtered(wave, rate_hz, low_pass(draw.uniform(3_400, 8_000)))
    else:
        wave = filtered(wave, rate_hz, random_curve(draw, rate_hz, 2.5))
    if draw.random() < 0.25:
        wave = filtered(wave, rate_hz, high_pass(draw.uniform(80, 300)))
    return wave


def coded(draw: np.random.Generator, wave: Wave, rate_hz: int) -> Wave:
    """Send `(samples,)` through a telephone's companding, or through MP3 at a low rate."""
    if draw.random() < 0.5:
        return _companded(wave, rate_hz, _CODEC_RATES_HZ[draw.integers(len(_CODEC_RATES_HZ))])
    return _mp3(wave, rate_hz, draw.uniform(0.75, 1.0))


def clipped(draw: np.random.Generator, wave: Wave) -> Wave:
    """Cut the peaks off, as an overdriven input does."""
    limit = draw.uniform(0.2, 0.7) * np.abs(wave).max()
    return np.clip(wave, -limit, limit)


def _companded(wave: Wave, rate_hz: int, line_hz: int) -> Wave:
    peak = np.abs(wave).max() + 1e-9
    line = np.clip(soxr.resample(wave / peak, rate_hz, line_hz, quality="HQ"), -1, 1)
    compressed = np.sign(line) * np.log1p(_MU * np.abs(line)) / np.log1p(_MU)
    steps = np.round(compressed * 127) / 127
    expanded = np.sign(steps) * np.expm1(np.abs(steps) * np.log1p(_MU)) / _MU
    back = soxr.resample(expanded, line_hz, rate_hz, quality="HQ") * peak
    return np.pad(back, (0, max(0, len(wave) - len(back))))[: len(wave)]


def _mp3(wave: Wave, rate_hz: int, compression: float) -> Wave:
    """Encode and decode; the decoder's delay is found by correlation and taken out."""
    peak = np.abs(wave).max() + 1e-9
    file = io.BytesIO()
    soundfile.write(file, wave / peak * 0.9, rate_hz, format="MP3", compression_level=compression)
    file.seek(0)
    back = soundfile.read(file, dtype="float64")[0] * peak / 0.9
    back = np.pad(back, (0, max(0, len(wave) - len(back))))
    size = 1 << (len(back) + len(wave)).bit_length()
    likeness = np.fft.irfft(np.fft.rfft(back, size) * np.conj(np.fft.rfft(wave, size)), size)
    delay = int(np.argmax(likeness[:4096]))
    back = np.pad(back[delay:], (0, delay))
    return back[: len(wave)]
