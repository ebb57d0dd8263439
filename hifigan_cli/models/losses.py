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

    from hifigan_cli.models.discriminators import Judgement


def discriminator_loss(real: Sequence[Judgement], fake: Sequence[Judgement]) -> Tensor:
    """Least-squares loss of the discriminators: real to 1, fake to 0 (equation 1)."""
    terms = [
        torch.mean((1 - r.logits.float()) ** 2) + torch.mean(f.logits.float() ** 2)
        for r, f in zip(real, fake, strict=True)
    ]
    return torch.stack(terms).sum()


def adversarial_loss(fake: Sequence[Judgement]) -> Tensor:
    """Least-squares loss of the generator: fake to 1 (equation 2)."""
    return torch.stack([torch.mean((1 - f.logits.float()) ** 2) for f in fake]).sum()


def feature_loss(real: Sequence[Judgement], fake: Sequence[Judgement]) -> Tensor:
    """L1 between the feature maps of real and fake, each map's mean, summed (equation 4).

    The real maps are targets: they should come without gradients.
    """
    terms = [
        F.l1_loss(of_fake.float(), of_real.float())
        for r, f in zip(real, fake, strict=True)
        for of_real, of_fake in zip(r.features, f.features, strict=True)
    ]
    return torch.stack(terms).sum()


def mel_loss(real_mel: Tensor, fake_mel: Tensor) -> Tensor:
    """L1 between log-mels up to Nyquist (equation 3); the paper weighs it by 45."""
    return F.l1_loss(fake_mel, real_mel)
