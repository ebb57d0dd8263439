"""The enhancer: maps a noisy log-mel to a clean one. The paper has no such stage.

The network reads each band twice: its value, and its value relative to the noise floor. The noise
floor is the 10th percentile over the clip, the band's level without speech. Two 2-D convolutions
read small patches, then dilated depthwise blocks (1-D ConvNeXt) read along time. The output mixes
the input and a generated mel with a gate for each cell, so clean speech can pass unchanged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from hifigan_cli.enhancement.config import (
    FLOOR_QUANTILE,
    GATE_BIAS,
    MEL_MEAN,
    MEL_STD,
    OUTPUT_MEAN,
    STEM_KERNEL,
)
from hifigan_cli.models.norms import add_weight_norm

if TYPE_CHECKING:
    from hifigan_cli.enhancement.config import EnhancerConfig

_LAYER_SCALE = 0.1


class Depthwise(nn.Module):
    """A dilated depthwise convolution over time that keeps the length.

    It sums shifted products, which is faster on a CPU than PyTorch's grouped convolution, because
    that needs channels before time.
    """

    def __init__(self, channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        bound = kernel**-0.5  # PyTorch's default for a depthwise convolution
        self.weight = nn.Parameter(torch.empty(kernel, channels).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(channels).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(batch, frames, channels)` to the same shape."""
        frames, padding = x.shape[1], self.dilation * (len(self.weight) // 2)
        padded = F.pad(x, (0, 0, padding, padding))
        result: Tensor = self.bias
        for index, tap in enumerate(self.weight):
            start = index * self.dilation
            result = torch.addcmul(result, padded[:, start : start + frames], tap)
        return result


class Block(nn.Module):
    """A residual block: a depthwise convolution over time, then a small network on each frame."""

    def __init__(self, config: EnhancerConfig, dilation: int) -> None:
        super().__init__()
        channels, inner = config.channels, config.channels * config.expansion
        self.depthwise = Depthwise(channels, config.kernel, dilation)
        self.norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, inner)
        self.narrow = nn.Linear(inner, channels)
        self.scale = nn.Parameter(torch.full((channels,), _LAYER_SCALE))

    def forward(self, x: Tensor) -> Tensor:
        """Map `(batch, frames, channels)` to the same shape."""
        h = self.narrow(F.gelu(self.widen(self.norm(self.depthwise(x)))))
        result: Tensor = x + self.scale * h
        return result


class Enhancer(nn.Module):
    """The enhancer network: noisy log-mels to clean ones.

    Shape: `(batch, n_mels, frames)` -> `(batch, n_mels, frames)`.
    """

    def __init__(self, config: EnhancerConfig, n_mels: int) -> None:
        super().__init__()
        self.config = config
        stem, channels = config.stem_channels, config.channels
        pad = (STEM_KERNEL[0] // 2, STEM_KERNEL[1] // 2)
        self.stem = nn.Conv2d(2, stem, STEM_KERNEL, padding=pad)
        self.halve = nn.Conv2d(stem, stem, STEM_KERNEL, stride=(2, 1), padding=pad)
        halved = -(-n_mels // 2)
        self.enter = nn.Linear(2 * n_mels + stem * halved, channels)
        self.enter_norm = nn.LayerNorm(channels)
        self.blocks = nn.ModuleList(Block(config, dilation) for dilation in config.dilations)
        self.leave_norm = nn.LayerNorm(channels)
        self.leave = nn.Linear(channels, 2 * n_mels)

    def forward(self, noisy: Tensor, floor: Tensor | None = None) -> Tensor:
        """Map a noisy log-mel `(batch, n_mels, frames)` to the clean one.

        `floor` is each band's noise floor, `(batch, n_mels, 1)`; default: computed from `noisy`.
        """
        floor = noise_floor(noisy) if floor is None else floor
        features = torch.stack([(noisy - MEL_MEAN) / MEL_STD, (noisy - floor) / MEL_STD], dim=1)
        patches = F.gelu(self.halve(F.gelu(self.stem(features))))
        columns = torch.cat([features.flatten(1, 2), patches.flatten(1, 2)], dim=1).transpose(1, 2)
        h = self.enter_norm(self.enter(columns))
        for block in self.blocks:
            h = block(h)
        generated, logits = self.leave(self.leave_norm(h)).float().transpose(1, 2).chunk(2, dim=1)
        gate = torch.sigmoid(logits + GATE_BIAS)
        clean: Tensor = gate * noisy + (1 - gate) * (generated * MEL_STD + OUTPUT_MEAN)
        return clean


def noise_floor(mel: Tensor) -> Tensor:
    """Return each band's 10th percentile over time: `(batch, n_mels, frames)` -> `(..., 1)`."""
    return torch.quantile(mel.float(), FLOOR_QUANTILE, dim=-1, keepdim=True)


class PatchDiscriminator(nn.Module):
    """The discriminator in enhancer training: it scores patches of clean and enhanced log-mels.

    A network that only minimizes distances returns a blurred average of all possible clean mels. A
    discriminator of small patches restores the texture of speech (least-squares GAN, as in the
    paper's equation 1).
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        channels = (1, width, width * 3 // 2, width * 2, width * 3)
        sizes = (((5, 3), (1, 1)), ((5, 3), (2, 1)), ((5, 5), (2, 2)), ((5, 5), (2, 2)))
        self.layers = nn.ModuleList(
            add_weight_norm(
                nn.Conv2d(inputs, outputs, kernel, stride, (kernel[0] // 2, kernel[1] // 2))
            )
            for inputs, outputs, (kernel, stride) in zip(
                channels[:-1], channels[1:], sizes, strict=True
            )
        )
        self.last = add_weight_norm(nn.Conv2d(width * 3, 1, 3, padding=1))

    def forward(self, mel: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Score `(batch, n_mels, frames)`; return the scores and the feature maps of each layer."""
        h = ((mel - MEL_MEAN) / MEL_STD)[:, None]
        feature_maps = []
        for layer in self.layers:
            h = F.leaky_relu(layer(h), 0.1)
            feature_maps.append(h)
        return self.last(h), feature_maps
