"""Invert a log-mel without a model (Griffin and Lim 1984), as the lower bound of quality.

The linear spectrum is the non-negative one with the closest mel (multiplicative updates of Lee and
Seung). Its phase is estimated by alternating between spectrum and waveform. The result has no
frequencies above the 8 kHz of the mel.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hifigan_cli.audio.mel import window_and_filterbank
from hifigan_cli.config import MelConfig

ITERATIONS = 60
_SPECTRUM_UPDATES = 100
_MOMENTUM = 0.99  # Perraudin et al. 2013


def griffin_lim(log_mel: Tensor, config: MelConfig | None = None) -> Tensor:
    """Return the waveform `(samples,)` of a log-mel `(n_mels, frames)`; samples = frames * hop."""
    c = config or MelConfig()
    window, filterbank = window_and_filterbank(c, torch.device("cpu"))
    magnitude = linear_magnitude(log_mel.double().exp(), filterbank)
    samples = log_mel.shape[1] * c.hop_length + 2 * c.padding_samples
    start, stop = c.padding_samples, c.padding_samples + log_mel.shape[1] * c.hop_length

    def to_wave(spectrum: Tensor) -> Tensor:
        return overlap_add(spectrum, window, c, samples)

    generator = torch.Generator().manual_seed(0)
    angle = 2 * torch.pi * torch.rand(magnitude.shape, generator=generator, dtype=torch.float64)
    phase = torch.polar(torch.ones_like(angle), angle)
    previous = torch.zeros_like(phase)
    for _ in range(ITERATIONS):
        wave = to_wave(magnitude * phase)
        rebuilt = torch.stft(
            wave, c.n_fft, c.hop_length, c.win_length, window, center=False, return_complex=True
        )
        accelerated = rebuilt - _MOMENTUM / (1 + _MOMENTUM) * previous
        phase = accelerated / accelerated.abs().clamp(min=1e-12)
        previous = rebuilt
    result: Tensor = to_wave(magnitude * phase)[start:stop].float()
    return result


def linear_magnitude(mel: Tensor, filterbank: Tensor) -> Tensor:
    """Return a non-negative spectrum `(bins, frames)` whose mel is close to `(n_mels, frames)`."""
    covered = (filterbank.sum(dim=0) > 0)[:, None]
    spectrum: Tensor = torch.linalg.pinv(filterbank) @ mel
    spectrum = spectrum.clamp(min=1e-6) * covered
    for _ in range(_SPECTRUM_UPDATES):
        target, estimate = filterbank.T @ mel, filterbank.T @ (filterbank @ spectrum)
        spectrum = spectrum * target / estimate.clamp(min=1e-12)
    return spectrum


def overlap_add(spectrum: Tensor, window: Tensor, c: MelConfig, samples: int) -> Tensor:
    """Invert a spectrum `(bins, frames)` by windowed overlap-add, into `(samples,)`."""
    frames = torch.fft.irfft(spectrum, c.n_fft, dim=0) * window[:, None]
    weights = (window**2)[:, None].expand(-1, frames.shape[1])
    stacked = torch.stack([frames, weights])
    wave, weight = torch.nn.functional.fold(
        stacked, (1, samples), (1, c.n_fft), stride=(1, c.hop_length)
    )[:, 0, 0]
    normalized: Tensor = wave / weight.clamp(min=1e-3)
    return normalized
