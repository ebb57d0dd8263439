"""Slaney's mel scale and filters, in double precision.

torchaudio's `melscale_fbanks` has the same filters in single precision. Its rounding, up to 2e-3 of
the small weights at a filter's foot, moves the log-mel of a pure tone by 7e-4; and for an odd rate
it places the bins by the Nyquist frequency rounded down. So the few lines are written out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from hifigan_cli.config import MelConfig

Array = npt.NDArray[np.float64]

# Slaney's Auditory Toolbox: linear to 1 kHz, 3 mels each 200 Hz; above, 27 mels each factor 6.4.
_HZ_PER_MEL = 200 / 3
_KNEE_HZ = 1000.0
_KNEE_MEL = 15.0
_LOG_STEP = np.log(6.4) / 27


def hz_to_mel(hz: float) -> float:
    """Convert a frequency in Hz to Slaney's mel.

    >>> hz_to_mel(1000.0)
    15.0
    """
    if hz < _KNEE_HZ:
        return hz / _HZ_PER_MEL
    return float(_KNEE_MEL + np.log(hz / _KNEE_HZ) / _LOG_STEP)


def mel_to_hz(mel: Array) -> Array:
    """Convert Slaney's mels to Hz."""
    above = _KNEE_HZ * np.exp(_LOG_STEP * (np.maximum(mel, _KNEE_MEL) - _KNEE_MEL))
    return np.where(mel < _KNEE_MEL, mel * _HZ_PER_MEL, above)


def slaney_filterbank(config: MelConfig) -> Array:
    """Return triangles of equal area, evenly spaced in mel: float64 `(mels, bins)`."""
    ends = hz_to_mel(config.fmin_hz), hz_to_mel(config.top_hz)
    edges = mel_to_hz(np.linspace(*ends, config.n_mels + 2))
    bins_hz = np.arange(config.n_fft // 2 + 1) * config.rate_hz / config.n_fft
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (bins_hz - low) / (centre - low)
    falling = (high - bins_hz) / (high - centre)
    triangles = np.maximum(0, np.minimum(rising, falling))
    return np.asarray(triangles * (2 / (high - low)), np.float64)
