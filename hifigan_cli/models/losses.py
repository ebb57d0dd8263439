"""The training losses (paper section 2.4).

All are sums over sub-discriminators, not means. Judgements of MPD and MSD are passed together, as
one list.
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
    real: Sequence[DiscriminatorOutput], fake: Sequence[DiscriminatorOutput]
) -> Tensor:
    """Least-squares loss of the discriminators: real to 1, fake to 0 (equation 1)."""
    terms = [
        torch.mean((1 - single(r.logits)) ** 2) + torch.mean(single(f.logits) ** 2)
        for r, f in zip(real, fake, strict=True)
    ]
    return torch.stack(terms).sum()


def adversarial_loss(fake: Sequence[DiscriminatorOutput]) -> Tensor:
    """Least-squares loss of the generator: fake to 1 (equation 2)."""
    return torch.stack([torch.mean((1 - single(f.logits)) ** 2) for f in fake]).sum()


def feature_loss(
    real: Sequence[DiscriminatorOutput], fake: Sequence[DiscriminatorOutput]
) -> Tensor:
    """L1 between the feature maps of real and fake, each map's mean, summed (equation 4).

    The real maps are targets: they should come without gradients.
    """
    terms = [
        F.l1_loss(single(of_fake), single(of_real))
        for r, f in zip(real, fake, strict=True)
        for of_real, of_fake in zip(r.features, f.features, strict=True)
    ]
    return torch.stack(terms).sum()


def mel_loss(real_mel: Tensor, fake_mel: Tensor) -> Tensor:
    """L1 between log-mels up to Nyquist (equation 3); the paper weighs it by 45."""
    return F.l1_loss(fake_mel, real_mel)


def spectral_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Compare `(batch, samples)` by their spectra at three resolutions; not of the paper.

    For each, spectral convergence and the L1 of log magnitudes (Yamamoto, Song, Kim 2020, Parallel
    WaveGAN, section 2.2); the mean of the three. One mel leaves open what happens within a frame;
    together they leave less, so that a generator learns sooner, above all before it is judged.

    Convergence is a ratio over the samples at hand (each by itself would let near silence decide):
    pieces of a batch, and processes, each have their own, unlike the other losses.
    """
    terms = []
    for n_fft in _RESOLUTIONS:
        of_real, of_fake = (_magnitude(samples, n_fft) for samples in (real, fake))
        convergence = torch.linalg.norm(of_fake - of_real) / torch.linalg.norm(of_real)
        terms.append(convergence + F.l1_loss(of_fake.log(), of_real.log()))
    return torch.stack(terms).mean()


def _magnitude(samples: Tensor, n_fft: int) -> Tensor:
    window = torch.hann_window(n_fft, dtype=samples.dtype, device=samples.device)
    spectrum = torch.stft(
        samples,
        n_fft,
        n_fft // 4,
        n_fft,
        window,
        pad_mode="constant",  # segments may be shorter than half a window
        return_complex=True,
    )
    return torch.sqrt(spectrum.real**2 + spectrum.imag**2 + _SMALLEST_POWER)


def single(values: Tensor) -> Tensor:
    """Bring half precision to single, in which losses are taken; leave double as it is."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
