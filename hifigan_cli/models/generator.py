"""The generator: log-mel to waveform (paper section 2.2).

A convolution reads the mel. Each stage then upsamples in time with a transposed convolution, halves
the channels, and takes the mean of several parallel residual blocks with different kernel sizes and
dilations: multi-receptive-field fusion (MRF). A last convolution and tanh output the samples.

Three facts are not in the paper, but all published weights depend on them: MRF is the mean and not
the sum of the blocks, the activation comes *before* each convolution, and its slope before the last
convolution is 0.01, not 0.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from hifigan_cli.config.architecture import EDGE_KERNEL, FINAL_LRELU_SLOPE
from hifigan_cli.models.norms import add_weight_norm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hifigan_cli.config import GeneratorConfig, GeneratorVariant


def same_conv(
    inputs: int, outputs: int, kernel: int, dilation: int, variant: GeneratorVariant
) -> nn.Conv1d:
    """Build a convolution that preserves the length."""
    padding, mode = dilation * (kernel - 1) // 2, variant.conv_padding
    return nn.Conv1d(inputs, outputs, kernel, dilation=dilation, padding=padding, padding_mode=mode)


class ResBlock1(nn.Module):
    """For each dilation, add a dilated and a plain convolution to the input (figure 1, right)."""

    def __init__(
        self, channels: int, kernel: int, dilations: Sequence[int], variant: GeneratorVariant
    ) -> None:
        super().__init__()
        sizes = channels, channels, kernel
        self.slope = variant.slope
        self.convs1 = nn.ModuleList(same_conv(*sizes, d, variant) for d in dilations)
        self.convs2 = nn.ModuleList(same_conv(*sizes, 1, variant) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(batch, channels, samples)` to the same shape."""
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            y = dilated(F.leaky_relu(x, self.slope))
            x = x + plain(F.leaky_relu(y, self.slope))
        return x


class ResBlock2(nn.Module):
    """For each dilation, add one dilated convolution to the input: the lighter block of V3."""

    def __init__(
        self, channels: int, kernel: int, dilations: Sequence[int], variant: GeneratorVariant
    ) -> None:
        super().__init__()
        sizes = channels, channels, kernel
        self.slope = variant.slope
        self.convs = nn.ModuleList(same_conv(*sizes, d, variant) for d in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(batch, channels, samples)` to the same shape."""
        for conv in self.convs:
            x = x + conv(F.leaky_relu(x, self.slope))
        return x


class Generator(nn.Module):
    """Mel to waveform: `(batch, n_mels, frames)` -> `(batch, 1, samples)`, within [-1, 1].

    Weight norm is on for training; `norms.fold_weight_norm` removes it. Module names are those of
    the official checkpoints; weight norm is torch's parametrization. Weights are initialized with
    PyTorch's default: the official N(0, 0.01) runs after weight norm is added and has no effect.

    Slopes and paddings are those of `config.variant`. `synthesis.streams` applies the variant's
    changes to the mel.
    """

    def __init__(
        self, config: GeneratorConfig, n_mels: int = 80, *, weight_norm: bool = True
    ) -> None:
        super().__init__()
        self.config = config
        channels = config.upsample_initial_channel
        variant = config.variant
        self.conv_pre = same_conv(n_mels, channels, EDGE_KERNEL, 1, variant)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        block = ResBlock1 if config.resblock == 1 else ResBlock2
        for rate, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
            padding = (kernel - rate) // 2
            up = nn.ConvTranspose1d(channels, channels // 2, kernel, rate, padding=padding)
            self.ups.append(up)
            channels //= 2
            sizes = zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True)
            self.resblocks.extend(block(channels, *size, variant) for size in sizes)
        self.conv_post = same_conv(channels, 1, EDGE_KERNEL, 1, variant)
        if weight_norm:
            add_weight_norm(self)

    def forward(self, mel: Tensor) -> Tensor:
        """Generate `(batch, 1, samples)` from a log-mel `(batch, n_mels, frames)`."""
        slope = self.config.variant.slope
        x = self.conv_pre(mel)
        for stage, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, slope))  # (batch, channels / 2, length * rate)
            x = self.mrf(stage, x)
        x = self.conv_post(F.leaky_relu(x, FINAL_LRELU_SLOPE))
        return torch.tanh(x)

    def mrf(self, stage: int, x: Tensor) -> Tensor:
        """Return the mean of a stage's residual blocks, which all read the same input (MRF)."""
        kernels = len(self.config.resblock_kernel_sizes)
        total: Tensor = self.resblocks[stage * kernels](x)
        for block in self.resblocks[stage * kernels + 1 : (stage + 1) * kernels]:
            total = total + block(x)
        return total / kernels


def count_parameters(net: nn.Module) -> int:
    """Count the parameters of a network."""
    return sum(p.numel() for p in net.parameters())
