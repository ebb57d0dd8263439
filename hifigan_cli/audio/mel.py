"""The log-mel spectrogram (paper section 3.1, and the official code where the paper is silent).

reflect-pad (n_fft - hop) / 2 -> STFT without centring, periodic Hann -> sqrt(re^2 + im^2 + 1e-9)
-> Slaney mel bands, Slaney-normalised -> ln(max(value, 1e-5)).

A clip of n samples has floor(n / hop) frames. Window and filterbank are built once, as buffers.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - the name that torch's users know
from torch import Tensor, nn

from hifigan_cli.config import MelConfig
from hifigan_cli.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGNITUDE_EPSILON = 1e-9  # keeps the gradient of the square root finite in silence
FLOOR = 1e-5
LOG_FLOOR = math.log(FLOOR)  # the log-mel of silence: -11.513


class MelSpectrogram(nn.Module):
    """Computes log-mels of waveforms, differentiably, on whatever device it lives.

    Shape: `(batch, samples)` -> `(batch, mels, frames)`, frames = floor(samples / hop).
    """

    window: Tensor
    filterbank: Tensor

    def __init__(self, config: MelConfig | None = None) -> None:
        super().__init__()
        self.config = config or MelConfig()
        c = self.config
        window = torch.hann_window(c.win_samples, periodic=True)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filterbank", slaney_filterbank(c), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Return the log-mel of `(batch, samples)`, full scale 1.

        Raises:
            InputError: the clip is too short to be reflected at its ends.
        """
        return self.log_mel(self.padded(samples))

    def padded(self, samples: Tensor) -> Tensor:
        """Reflect `(batch, samples)` at both ends, so that frames lie at multiples of the hop.

        Raises:
            InputError: there are fewer samples than the reflection needs.
        """
        pad = self.config.pad_samples
        if samples.shape[-1] <= pad:
            raise InputError(
                f"{samples.shape[-1]} samples are too short for a mel; it takes more than {pad}"
            )
        return F.pad(samples[:, None], (pad, pad), mode="reflect")[:, 0]

    def log_mel(self, padded: Tensor) -> Tensor:
        """Return the log-mel of `(batch, samples)` that needs no more padding."""
        c = self.config
        spectrum = torch.stft(
            padded,
            c.n_fft,
            c.hop_samples,
            c.win_samples,
            self.window,
            center=False,
            return_complex=True,
        )
        magnitude = torch.sqrt(spectrum.real**2 + spectrum.imag**2 + MAGNITUDE_EPSILON)
        return torch.log(torch.clamp(self.filterbank @ magnitude, min=FLOOR))

    def blocks(self, samples: Tensor, block_frames: int = 4096) -> Iterator[Tensor]:
        """Yield the log-mel of `(batch, samples)` in pieces of frames, in flat memory."""
        c = self.config
        padded = self.padded(samples)
        frames = samples.shape[-1] // c.hop_samples
        for start in range(0, frames, block_frames):
            stop = min(start + block_frames, frames)
            yield self.log_mel(
                padded[:, start * c.hop_samples : (stop - 1) * c.hop_samples + c.n_fft]
            )


def slaney_filterbank(config: MelConfig) -> Tensor:
    """Return the mel filterbank `(mels, bins)`: Slaney's scale and area normalisation.

    Raises:
        UsageError: torch and torchaudio are installed in versions that do not pair.
    """
    try:
        from torchaudio.functional import melscale_fbanks
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise UsageError(
            f"torchaudio cannot be used beside torch {torch.__version__}: {error}".splitlines()[0],
            "pip install 'torch>=2.11,<2.15' 'torchaudio>=2.11,<3'; `hifigan doctor` says more",
        ) from error
    bank: Tensor = melscale_fbanks(
        n_freqs=config.n_fft // 2 + 1,
        f_min=config.fmin_hz,
        f_max=config.top_hz,
        n_mels=config.n_mels,
        sample_rate=config.rate_hz,
        norm="slaney",
        mel_scale="slaney",
    )
    return bank.T.contiguous()


@lru_cache(maxsize=16)
def mel_transform(config: MelConfig) -> MelSpectrogram:
    """Return the one `MelSpectrogram` of this convention on the CPU, built at the first call."""
    return MelSpectrogram(config)


def mel_spectrogram(samples: Tensor, config: MelConfig | None = None) -> Tensor:
    """Return the log-mel `(batch, mels, frames)` of `(batch, samples)` on the CPU.

    >>> mel_spectrogram(torch.zeros(1, 22_050)).shape
    torch.Size([1, 80, 86])
    """
    return mel_transform(config or MelConfig())(samples)
