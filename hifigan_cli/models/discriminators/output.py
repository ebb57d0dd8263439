"""What a sub-discriminator says of a waveform."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

SLOPE = 0.1


class DiscriminatorOutput(NamedTuple):
    """Logits `(batch, places)`, without an activation, and every layer's output on the way."""

    logits: Tensor
    features: list[Tensor]  # the logits' own map is the last


def judge(convs: nn.ModuleList, last: nn.Module, x: Tensor) -> DiscriminatorOutput:
    """Run a stack of convolutions; a leaky ReLU follows each but the last."""
    features = []
    for conv in convs:
        x = F.leaky_relu(conv(x), SLOPE)
        features.append(x)
    x = last(x)
    features.append(x)
    return DiscriminatorOutput(x.flatten(1), features)
