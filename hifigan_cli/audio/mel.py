"""The log-mel spectrogram (paper section 3.1, and the official code where the paper is silent).

reflect-pad (n_fft - hop) / 2 -> STFT without centering, periodic Hann -> sqrt(re^2 + im^2 + 1e-9)
-> Slaney mel bands, Slaney-normalized -> ln(max(value, 1e-5)).

A clip of n samples has floor(n / hop) frames. The steps run in double precision: in single, the
rounding of the Fourier transform alone moves a quiet band next to a loud one by 1e-3 and more in
log units. Their cost is nothing next to a network's.

This is the mel of training, in torch, with gradients; `logmel` is the same for arrays.
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

MAGNITUDE_EPSILON = 1e-9  # keeps the gradient of the square root finite in silence


class MelSpectrogram(nn.Module):
    """Computes log-mels of waveforms, differentiably, on whatever device they live.

    Shape: `(batch, samples)` -> `(batch, n_mels, frames)`, frames = floor(samples / hop_length).
    """

    def __init__(self, config: MelConfig | None = None) -> None:
        super().__init__()
        self.config = config or MelConfig()
        if self.config.convention != MelConvention():
            raise UsageError(
                "training has the mel of the paper only, this is another tool's",
                "--init takes models whose mel is that of a preset",
            )

    def forward(self, samples: Tensor) -> Tensor:
        """Return the log-mel of `(batch, samples)`, full scale 1.

        Raises:
            InputError: the clip is too short to be reflected at its ends.
        """
        c = self.config
        window, bank = constants(c, samples.device)
        padded = self.padded(samples).to(window.dtype)
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

    def padded(self, samples: Tensor) -> Tensor:
        """Reflect `(batch, samples)` at both ends, so that frames lie at multiples of the hop.

        Raises:
            InputError: there are fewer samples than the reflection needs.
        """
        pad = self.config.pad_samples
        least = max(pad + 1, self.config.hop_length)
        if samples.shape[-1] < least:
            raise InputError(
                f"{samples.shape[-1]} samples are too short for a mel; it takes at least {least}"
            )
        return reflected(samples, pad, pad)


def mel_spectrogram(samples: Tensor, config: MelConfig | None = None) -> Tensor:
    """Return the log-mel `(batch, n_mels, frames)` of `(batch, samples)`.

    >>> mel_spectrogram(torch.zeros(1, 22_050)).shape
    torch.Size([1, 80, 86])
    """
    mel: Tensor = MelSpectrogram(config)(samples)
    return mel


def reflected(x: Tensor, left: int, right: int) -> Tensor:
    """Extend the last axis by its mirror image, without repeating the ends.

    The values are those of `F.pad(mode="reflect")`, whose backward pass on CUDA adds in an order
    that changes from run to run.

    >>> reflected(torch.tensor([1, 2, 3, 4]), 2, 1)
    tensor([3, 2, 1, 2, 3, 4, 3])
    """
    before = x[..., 1 : left + 1].flip(-1)
    after = x[..., x.shape[-1] - 1 - right : -1].flip(-1)
    return torch.cat([before, x, after], dim=-1)


@lru_cache(maxsize=32)
def constants(config: MelConfig, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the window `(win_length,)` and the filterbank `(n_mels, bins)` on a device."""
    # MPS has no double precision.
    dtype = torch.float32 if device.type == "mps" else torch.float64
    # A first call in inference mode must not leave tensors that a later gradient cannot use.
    with torch.inference_mode(mode=False):
        window = torch.hann_window(config.win_length, periodic=True, dtype=torch.float64)
        bank = torch.from_numpy(filterbank(config))
        return window.to(dtype).to(device), bank.to(dtype).to(device)
