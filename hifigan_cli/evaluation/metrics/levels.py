"""What distances of spectra forgive: hum in the pauses, and highs that are missing or hiss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from hifigan_cli.evaluation.metrics.spectral import magnitudes

if TYPE_CHECKING:
    from hifigan_cli.evaluation.metrics.pair import Pair

_N_FFT = 1024
HIGH_BAND_HZ = (8_000, 10_000)
# A frame is silent when it lies this far below the loudest.
SILENT_BELOW_DB = 40.0
_LEAST_SILENT_FRAMES = 5
_MAGNITUDE_FLOOR = 3.2e-5  # the root of the epsilon in the mel's magnitudes
_POWER_FLOOR = 1e-8  # of a frame's spectrum: rounding to 16 bits gives 1e-7


def silence_delta(pair: Pair) -> dict[str, float | None]:
    """Return how much louder the result is in the reference's silent frames: `silence_delta`, dB.

    None where the reference has no silence to speak of.
    """
    reference_db, hypothesis_db = (
        10 * torch.log10(magnitudes(clip, _N_FFT).square().sum(dim=0) + _POWER_FLOOR)
        for clip in (pair.reference, pair.hypothesis)
    )
    silent = reference_db < reference_db.max() - SILENT_BELOW_DB
    if int(silent.sum()) < _LEAST_SILENT_FRAMES:
        return {"silence_delta": None}
    return {"silence_delta": float((hypothesis_db - reference_db)[silent].mean())}


def high_bias(pair: Pair) -> dict[str, float | None]:
    """Return the mean difference of log spectra from 8 to 10 kHz: `high_bias`, dB.

    Negative where highs are missing, positive where the result hisses. None where a file's rate
    does not reach that high.
    """
    low_hz, high_hz = HIGH_BAND_HZ
    if pair.top_hz < high_hz:
        return {"high_bias": None}
    bins_hz = np.arange(_N_FFT // 2 + 1) * pair.rate_hz / _N_FFT
    band = torch.from_numpy((bins_hz >= low_hz) & (bins_hz <= high_hz))
    reference, hypothesis = (
        20 * torch.log10(magnitudes(clip, _N_FFT)[band].clamp(min=_MAGNITUDE_FLOOR))
        for clip in (pair.reference, pair.hypothesis)
    )
    return {"high_bias": float((hypothesis - reference).mean())}
