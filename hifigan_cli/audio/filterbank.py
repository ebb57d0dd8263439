"""Mel filters: triangles over the bins of a Fourier transform, in double precision.

They agree with those of torchaudio, which a test compares, and of librosa. In single precision the
small weights at the foot of a filter are off by up to 2e-3, which moves the log-mel of a pure tone
by 7e-4.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hifigan_cli.config import MelConfig
    from hifigan_cli.types import DoubleArray


# Slaney's scale: 3 mels per 200 Hz up to 1 kHz, then 27 mels per factor of 6.4.
_LINEAR_HZ = 200 / 3
_BREAK_HZ, _BREAK_MEL = 1000.0, 15.0
_LOG_STEP = math.log(6.4) / 27
# HTK's scale: logarithmic throughout.
_HTK_FACTOR, _HTK_HZ = 2595.0, 700.0


def filterbank(config: MelConfig) -> DoubleArray:
    """Return triangles evenly spaced on the mel scale: float64 `(n_mels, bins)`.

    Slaney's filters have equal areas. Narrow low bands may lie between two bins; their filters are
    zero, as in the convention.
    """
    convention = config.convention
    is_htk = convention.mel_scale == "htk"
    to_mel, to_hz = (_htk_mel, _htk_hz) if is_htk else (_slaney_mel, _slaney_hz)
    mels = np.linspace(to_mel(config.fmin), to_mel(config.upper_edge_hz), config.n_mels + 2)
    edges_hz = to_hz(mels)
    bins_hz = np.fft.rfftfreq(config.n_fft, 1 / config.sample_rate)
    left, center, right = (edges_hz[start : start + config.n_mels, None] for start in range(3))
    rising = (bins_hz - left) / (center - left)
    falling = (right - bins_hz) / (right - center)
    bank = np.maximum(0, np.minimum(rising, falling))
    return bank * (2 / (right - left)) if convention.mel_norm == "slaney" else bank


def _slaney_mel(hz: float) -> float:
    if hz < _BREAK_HZ:
        return hz / _LINEAR_HZ
    return _BREAK_MEL + math.log(hz / _BREAK_HZ) / _LOG_STEP


def _slaney_hz(mel: DoubleArray) -> DoubleArray:
    above = _BREAK_HZ * np.exp((mel - _BREAK_MEL) * _LOG_STEP)
    return np.where(mel < _BREAK_MEL, mel * _LINEAR_HZ, above)


def _htk_mel(hz: float) -> float:
    return _HTK_FACTOR * math.log10(1 + hz / _HTK_HZ)


def _htk_hz(mel: DoubleArray) -> DoubleArray:
    return np.asarray(_HTK_HZ * (10 ** (mel / _HTK_FACTOR) - 1))
