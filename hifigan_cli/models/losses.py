"""The training losses (paper section 2.4).

`y` is a recording, `y_hat` what the generator makes of its mel. All losses are sums over
sub-discriminators, not means; the outputs of MPD and MSD are passed together, as one list.
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
_SMALLEST_POWER = 1e-7  # keeps the gradients of root and logarithm finite in silence


def discriminator_loss(
    of_y: Sequence[DiscriminatorOutput], of_y_hat: Sequence[DiscriminatorOutput]
) -> Tensor:
    """Least-squares loss of the discriminators: `y` to 1, `y_hat` to 0 (equation 1)."""
    terms = [
        torch.mean((1 - single(real.scores)) ** 2) + torch.mean(single(fake.scores) ** 2)
        for real, fake in zip(of_y, of_y_hat, strict=True)
    ]
    return torch.stack(terms).sum()


def adversarial_loss(of_y_hat: Sequence[DiscriminatorOutput]) -> Tensor:
    """Least-squares loss of the generator: `y_hat` to 1 (equation 2)."""
    return torch.stack([torch.mean((1 - single(fake.scores)) ** 2) for fake in of_y_hat]).sum()


def feature_loss(
    of_y: Sequence[DiscriminatorOutput], of_y_hat: Sequence[DiscriminatorOutput]
) -> Tensor:
    """L1 between the feature maps of `y` and `y_hat`, each map's mean, summed (equation 4).

    The maps of `y` are targets: they should come without gradients.
    """
    terms = [
        F.l1_loss(single(fake_map), single(real_map))
        for real, fake in zip(of_y, of_y_hat, strict=True)
        for real_map, fake_map in zip(real.feature_maps, fake.feature_maps, strict=True)
    ]
    return torch.stack(terms).sum()


def mel_loss(mel: Tensor, mel_hat: Tensor) -> Tensor:
    """L1 between log-mels up to Nyquist (equation 3); the paper weighs it by 45."""
    return F.l1_loss(mel_hat, mel)


def stft_loss(y: Tensor, y_hat: Tensor) -> Tensor:
    """Compare `(batch, samples)` by their spectra at three resolutions; not of the paper.

    For each, spectral convergence and the L1 of log magnitudes (Yamamoto, Song, Kim 2020, Parallel
    WaveGAN, section 2.2); the mean of the three. One mel leaves open what happens within a frame;
    three resolutions leave less, so that a generator learns sooner, above all before the
    discriminators join.

    Convergence is a ratio over the whole batch (of single clips, near silence would decide), so
    pieces of a batch, and processes, each have their own, unlike the other losses.
    """
    terms = []
    for n_fft in _RESOLUTIONS:
        real, fake = _magnitude(y, n_fft), _magnitude(y_hat, n_fft)
        convergence = torch.linalg.norm(fake - real) / torch.linalg.norm(real)
        terms.append(convergence + F.l1_loss(fake.log(), real.log()))
    return torch.stack(terms).mean()


def _magnitude(samples: Tensor, n_fft: int) -> Tensor:
    window = torch.hann_window(n_fft, dtype=samples.dtype, device=samples.device)
    # Zeros pad the ends: segments may be shorter than half a window, too short to reflect.
    spectrum = torch.stft(
        samples, n_fft, n_fft // 4, n_fft, window, pad_mode="constant", return_complex=True
    )
    return torch.sqrt(spectrum.real**2 + spectrum.imag**2 + _SMALLEST_POWER)


def single(values: Tensor) -> Tensor:
    """Bring half precision to single, in which losses are taken; leave double as it is."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
