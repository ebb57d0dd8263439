"""The log-mel spectrogram: paper section 3, or the official code where the paper is not specific.

reflect-pad (n_fft - hop) / 2 -> STFT without centering, periodic Hann -> sqrt(re^2 + im^2 + 1e-9)
-> Slaney mel bands, Slaney-normalized -> ln(max(value, 1e-5)).

A clip of n samples has floor(n / hop) frames. All steps use double precision: in single precision,
the rounding of the Fourier transform changes a quiet band next to a loud one by 1e-3 or more in log
units. The cost is negligible next to that of a network.

This is the mel for training, in torch and with gradients; `logmel` computes the same for arrays.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from hifigan_cli.audio.conventions.scales import FLOOR as FLOOR
from hifigan_cli.audio.conventions.scales import LOG_FLOOR as LOG_FLOOR
from hifigan_cli.audio.filterbank import filterbank
from hifigan_cli.config import MelConfig, MelConvention
from hifigan_cli.errors import InputError, UsageError

MAGNITUDE_EPSILON = 1e-9  # makes the gradient of the square root finite in silence


class MelSpectrogram(nn.Module):
    """Compute log-mels of waveforms, differentiably, on the device of the input.

    Shape: `(batch, samples)` -> `(batch, n_mels, frames)`, frames = floor(samples / hop_length).
    """

    def __init__(self, config: MelConfig | None = None) -> None:
        super().__init__()
        self.config = config or MelConfig()
        if self.config.convention != MelConvention():
            raise UsageError(
                "training supports only the mel convention of the paper, not that of another tool",
                "use --init with a model whose mel is that of a preset",
            )

    def forward(self, samples: Tensor) -> Tensor:
        """Return the log-mel of `(batch, samples)`, full scale 1.

        Raises:
            InputError: the clip is too short to be reflected at its ends.
        """
        c = self.config
        window, bank = window_and_filterbank(c, samples.device)
        padded = self.pad(samples).to(window.dtype)
        spectrum = torch.stft(
            padded,
            c.n_fft,
            c.hop_length,
            c.win_length,
            window,
            center=False,
            return_complex=True,
        )
        magnitude = torch.sqrt(spectrum.real**2 + spectrum.imag**2 + MAGNITUDE_EPSILON)
        mel: Tensor = torch.log(torch.clamp(bank @ magnitude, min=FLOOR))
        return mel.to(torch.promote_types(samples.dtype, torch.float32))

    def pad(self, samples: Tensor) -> Tensor:
        """Reflect `(batch, samples)` at both ends, so that frames lie at multiples of the hop.

        Raises:
            InputError: the clip is too short to be reflected at its ends.
        """
        pad = self.config.padding_samples
        min_samples = max(pad + 1, self.config.hop_length)
        if (length := samples.shape[-1]) < min_samples:
            hint = f"use at least {min_samples}"
            raise InputError(f"{length} samples are too few for a mel", hint)
        return reflect_pad(samples, pad, pad)


def mel_spectrogram(samples: Tensor, config: MelConfig | None = None) -> Tensor:
    """Return the log-mel `(batch, n_mels, frames)` of `(batch, samples)`.

    >>> mel_spectrogram(torch.zeros(1, 22_050)).shape
    torch.Size([1, 80, 86])
    """
    mel: Tensor = MelSpectrogram(config)(samples)
    return mel


def reflect_pad(x: Tensor, left: int, right: int) -> Tensor:
    """Pad the last axis by reflection, without repeating the ends.

    The values equal those of `F.pad(mode="reflect")`, whose backward pass on CUDA is not
    deterministic: it adds in an order that changes from run to run.

    >>> reflect_pad(torch.tensor([1, 2, 3, 4]), 2, 1)
    tensor([3, 2, 1, 2, 3, 4, 3])
    """
    before = x[..., 1 : left + 1].flip(-1)
    after = x[..., x.shape[-1] - 1 - right : -1].flip(-1)
    return torch.cat([before, x, after], dim=-1)


@lru_cache(maxsize=32)
def window_and_filterbank(config: MelConfig, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the window `(win_length,)` and the filterbank `(n_mels, bins)` on a device."""
    # MPS has no double precision.
    dtype = torch.float32 if device.type == "mps" else torch.float64
    # A first call in inference mode must not cache tensors that autograd cannot use later.
    with torch.inference_mode(mode=False):
        window = torch.hann_window(config.win_length, periodic=True, dtype=torch.float64)
        bank = torch.from_numpy(filterbank(config))
        return window.to(dtype).to(device), bank.to(dtype).to(device)
