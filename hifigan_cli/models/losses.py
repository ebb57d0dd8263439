"""The training losses (paper section 2.4).

`y` is a recording, `y_hat` the generator's output for its mel. The losses on discriminator outputs
are sums over sub-discriminators, not means; pass the outputs of MPD and MSD as one list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hifigan_cli.models.discriminators import DiscriminatorOutput

_RESOLUTIONS = (512, 1024, 2048)
_MIN_POWER = 1e-7  # keeps the gradients of the square root and the logarithm finite in silence


def discriminator_loss(
    y_outputs: Sequence[DiscriminatorOutput], y_hat_outputs: Sequence[DiscriminatorOutput]
) -> Tensor:
    """Least-squares loss of the discriminators: the target is 1 for `y`, 0 for `y_hat` (eq. 1)."""
    terms = [
        torch.mean((1 - to_float32(y.scores)) ** 2) + torch.mean(to_float32(y_hat.scores) ** 2)
        for y, y_hat in zip(y_outputs, y_hat_outputs, strict=True)
    ]
    return torch.stack(terms).sum()


def adversarial_loss(y_hat_outputs: Sequence[DiscriminatorOutput]) -> Tensor:
    """Least-squares loss of the generator: the target is 1 for `y_hat` (equation 2)."""
    terms = [torch.mean((1 - to_float32(y_hat.scores)) ** 2) for y_hat in y_hat_outputs]
    return torch.stack(terms).sum()


def feature_loss(
    y_outputs: Sequence[DiscriminatorOutput], y_hat_outputs: Sequence[DiscriminatorOutput]
) -> Tensor:
    """Sum of the mean L1 distances between the feature maps of `y` and `y_hat` (equation 4).

    The maps of `y` are targets and should not require gradients.
    """
    terms = [
        F.l1_loss(to_float32(y_hat_map), to_float32(y_map))
        for y, y_hat in zip(y_outputs, y_hat_outputs, strict=True)
        for y_map, y_hat_map in zip(y.feature_maps, y_hat.feature_maps, strict=True)
    ]
    return torch.stack(terms).sum()


def mel_loss(mel: Tensor, mel_hat: Tensor) -> Tensor:
    """L1 distance between log-mels up to Nyquist (equation 3); its weight in the paper is 45."""
    return F.l1_loss(mel_hat, mel)


def stft_loss(y: Tensor, y_hat: Tensor) -> Tensor:
    """Multi-resolution STFT loss of `(batch, samples)`; not in the paper.

    The loss is the mean over three resolutions of spectral convergence plus the L1 of log
    magnitudes (Yamamoto, Song, Kim 2020, Parallel WaveGAN, section 2.2). A mel does not determine
    the signal within a frame; three resolutions determine more of it, so a generator learns faster,
    mainly before the discriminators join.

    Spectral convergence is a ratio over the batch, because the ratios of nearly silent clips would
    dominate. So micro-batches and processes each have their own ratio, unlike the other losses.
    """
    terms = []
    for n_fft in _RESOLUTIONS:
        target, generated = _magnitude(y, n_fft), _magnitude(y_hat, n_fft)
        convergence = torch.linalg.norm(generated - target) / torch.linalg.norm(target)
        terms.append(convergence + F.l1_loss(generated.log(), target.log()))
    return torch.stack(terms).mean()


def _magnitude(samples: Tensor, n_fft: int) -> Tensor:
    window = torch.hann_window(n_fft, dtype=samples.dtype, device=samples.device)
    # Pad with zeros, because segments shorter than half a window cannot be reflected.
    spectrum = torch.stft(
        samples, n_fft, n_fft // 4, n_fft, window, pad_mode="constant", return_complex=True
    )
    return torch.sqrt(spectrum.real**2 + spectrum.imag**2 + _MIN_POWER)


def to_float32(values: Tensor) -> Tensor:
    """Convert half precision to float32, in which losses are computed; leave float64 unchanged."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
