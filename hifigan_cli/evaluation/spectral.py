"""Spectral metrics: mel and STFT distances, hum in pauses, missing or excessive highs."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from hifigan_cli.audio.mel import mel_spectrogram
from hifigan_cli.config import MelConfig

if TYPE_CHECKING:
    from torch import Tensor

    from hifigan_cli.evaluation.clips import ChannelPair
    from hifigan_cli.types import FloatArray

RESOLUTIONS = (512, 1024, 2048)
# Added to STFT magnitudes: about the rounding error of 16-bit samples, which is inaudible.
MAGNITUDE_OFFSET = 1e-4
_LEVEL_N_FFT = 1024
HIGH_BAND_HZ = (8_000, 10_000)
# A frame is silent if it is this far below the loudest.
SILENT_BELOW_DB = 40.0
_MIN_SILENT_FRAMES = 5
_MAGNITUDE_FLOOR = 3.2e-5  # the square root of the epsilon in the mel's magnitudes
_POWER_FLOOR = 1e-8  # added to the power of a frame; rounding to 16 bits gives 1e-7


def mel_errors(pair: ChannelPair) -> dict[str, float | None]:
    """Return the L1 distance of natural-log mels, up to 8 kHz and up to Nyquist.

    `mel_l1_full`, up to Nyquist, is the validation error of training and is comparable to the
    official curve.
    """
    band = MelConfig(sample_rate=pair.sample_rate)
    return {"mel_l1": _mel_l1(pair, band), "mel_l1_full": _mel_l1(pair, band.full_band())}


def _mel_l1(pair: ChannelPair, band: MelConfig) -> float:
    clips = torch.from_numpy(np.stack([pair.reference, pair.generated]))
    reference, generated = mel_spectrogram(clips, band).double()
    return float((reference - generated).abs().mean())


def log_magnitude(pair: ChannelPair) -> dict[str, float | None]:
    """Return the L1 of natural-log STFT magnitudes: the mean for n_fft 512, 1024 and 2048."""
    distances = []
    for n_fft in RESOLUTIONS:
        reference, generated = (x.add(MAGNITUDE_OFFSET).log() for x in _magnitudes(pair, n_fft))
        distances.append(float((reference - generated).abs().mean()))
    return {"log_magnitude": float(np.mean(distances))}


def silence_delta(pair: ChannelPair) -> dict[str, float | None]:
    """Return how many dB louder the result is in the silent frames of the reference.

    The value is None if the reference has fewer than five silent frames.
    """
    reference_db, generated_db = (
        10 * torch.log10(x.square().sum(dim=0) + _POWER_FLOOR)
        for x in _magnitudes(pair, _LEVEL_N_FFT)
    )
    silent = reference_db < reference_db.max() - SILENT_BELOW_DB
    if int(silent.sum()) < _MIN_SILENT_FRAMES:
        return {"silence_delta": None}
    return {"silence_delta": float((generated_db - reference_db)[silent].mean())}


def high_bias(pair: ChannelPair) -> dict[str, float | None]:
    """Return the mean difference of log spectra from 8 to 10 kHz, in dB.

    It is negative if high frequencies are missing, positive if the result hisses, and None if a
    file has no frequencies up to 10 kHz.
    """
    low_hz, high_hz = HIGH_BAND_HZ
    if pair.bandwidth_hz < high_hz:
        return {"high_bias": None}
    bins_hz = np.arange(_LEVEL_N_FFT // 2 + 1) * pair.sample_rate / _LEVEL_N_FFT
    band = torch.from_numpy((bins_hz >= low_hz) & (bins_hz <= high_hz))
    reference, generated = (
        20 * torch.log10(x[band].clamp(min=_MAGNITUDE_FLOOR))
        for x in _magnitudes(pair, _LEVEL_N_FFT)
    )
    return {"high_bias": float((generated - reference).mean())}


def _magnitudes(pair: ChannelPair, n_fft: int) -> tuple[Tensor, Tensor]:
    return magnitudes(pair.reference, n_fft), magnitudes(pair.generated, n_fft)


def magnitudes(clip: FloatArray, n_fft: int) -> Tensor:
    """Return the STFT magnitudes `(bins, frames)` of `(samples,)`: Hann window, hop n_fft / 4.

    Frames are centered and the ends reflected; a clip that is too short to reflect is padded.
    """
    samples = torch.from_numpy(clip).double()
    if len(samples) <= n_fft // 2:
        samples = torch.nn.functional.pad(samples, (0, n_fft // 2 + 1 - len(samples)))
    spectrum = torch.stft(
        samples, n_fft, n_fft // 4, window=_window(n_fft), center=True, return_complex=True
    )
    return spectrum.abs()


@lru_cache(maxsize=8)
def _window(n_fft: int) -> Tensor:
    return torch.hann_window(n_fft, dtype=torch.float64)
