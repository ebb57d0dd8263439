"""The generator (paper section 2.2) with its channels side by side in memory.

`generator` is the plain writing, and keeps the parameters. Here a signal `(batch, channels,
samples)` is an image `(batch, channels, 1, samples)` whose channels are neighbours in memory
(channels_last), the order in which a CPU's kernels and a GPU's bfloat16 units read them. Measured
on a CPU with AVX-512, forward and backward: V1 1.03 times as fast, V3 1.09; in bfloat16 1.12, 1.3.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from hifigan_cli.config.architecture import LAST_SLOPE, SLOPE
from hifigan_cli.models.generator import Generator, ResidualBlock1
from hifigan_cli.models.losses import single


class OptimizedGenerator(nn.Module):
    """A generator called in another way: `(batch, mels, frames)` -> `(batch, 1, samples)`."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, mel: Tensor) -> Tensor:
        """Synthesize samples from a log-mel, as the generator does."""
        net = self.generator
        kernels = len(net.config.resblock_kernel_sizes)
        x = mel.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        x = _convolve(net.conv_pre, x)
        for stage, up in enumerate(net.ups):
            x = _upsample(up, F.leaky_relu(x, SLOPE))
            blocks = net.resblocks[stage * kernels : (stage + 1) * kernels]
            total = _residual(blocks[0], x)
            for block in blocks[1:]:
                total = total + _residual(block, x)
            x = total / kernels
        # Samples of bfloat16 would carry noise 55 dB below them, which the mel loss hears in every
        # quiet band: of the official V1, mel_l1_full is 0.229; so rounded 0.244, as here 0.231.
        with torch.autocast(x.device.type, enabled=False):
            x = _convolve(net.conv_post, F.leaky_relu(single(x), LAST_SLOPE))
            return torch.tanh(x).squeeze(2)


def _residual(block: nn.Module, x: Tensor) -> Tensor:
    if isinstance(block, ResidualBlock1):
        for dilated, plain in zip(block.convs1, block.convs2, strict=True):
            y = _convolve(dilated, F.leaky_relu(x, SLOPE))
            x = x + _convolve(plain, F.leaky_relu(y, SLOPE))
        return x
    for conv in cast("nn.ModuleList", block.convs):
        x = x + _convolve(conv, F.leaky_relu(x, SLOPE))
    return x


def _convolve(module: nn.Module, x: Tensor) -> Tensor:
    conv = cast("nn.Conv1d", module)
    padding, dilation = (0, int(conv.padding[0])), (1, conv.dilation[0])
    return F.conv2d(x, conv.weight.unsqueeze(2), conv.bias, 1, padding, dilation)


def _upsample(module: nn.Module, x: Tensor) -> Tensor:
    up = cast("nn.ConvTranspose1d", module)
    stride, padding = (1, up.stride[0]), (0, int(up.padding[0]))
    return F.conv_transpose2d(x, up.weight.unsqueeze(2), up.bias, stride, padding)
