"""The input of DNSMOS P.808: 120 mel bands at 16 kHz in decibels, scaled.

Frames of 321 samples are odd, so that the bins do not end at Nyquist: the filterbank of the models'
mel does not fit and is made here. Powers, a range of 80 dB below the peak, (dB + 40) / 40.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

RATE_HZ = 16_000
_FRAME_SAMPLES, _HOP_SAMPLES, _BANDS = 321, 160, 120
_FLOOR, _RANGE_DB = 1e-10, 80.0


def p808_features(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return `(frames, 120)` of `(samples,)` at 16 kHz, silence padded at both ends."""
    padded = np.pad(samples.astype(np.float64), _FRAME_SAMPLES // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME_SAMPLES)[::_HOP_SAMPLES]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_FRAME_SAMPLES) / _FRAME_SAMPLES)
    power = np.abs(np.fft.rfft(frames * window)) ** 2 @ _filterbank().T
    level_db = 10 * np.log10(np.maximum(power, _FLOOR) / max(float(power.max()), _FLOOR))
    scaled: npt.NDArray[np.float32] = (
        (np.maximum(level_db, level_db.max() - _RANGE_DB) + 40) / 40
    ).astype(np.float32)
    return scaled


def _slaney_to_hz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Slaney's scale: linear to 1 kHz (15 mel), then 27 steps for each factor of 6.4."""
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


@lru_cache(maxsize=1)
def _filterbank() -> npt.NDArray[np.float64]:
    """Return triangles of equal area `(120, bins)` over the bins of 321-sample frames."""
    top_mel = 15 + 27 * np.log(RATE_HZ / 2 / 1000) / np.log(6.4)
    edges_hz = _slaney_to_hz(np.linspace(0, top_mel, _BANDS + 2))
    bins_hz = np.fft.rfftfreq(_FRAME_SAMPLES, 1 / RATE_HZ)
    low, centre, high = (edges_hz[k : k + _BANDS, None] for k in range(3))
    rising, falling = (bins_hz - low) / (centre - low), (high - bins_hz) / (high - centre)
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)
