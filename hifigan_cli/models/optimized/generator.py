"""The generator (paper section 2.2) with contiguous channels.

This is a faster form of `models.generator`, with the same parameters. A signal `(batch, channels,
samples)` becomes an image `(batch, channels, 1, samples)` in channels_last format, the memory
layout that CPU kernels and bf16 tensor cores require. Measured on a CPU with AVX-512, forward and
backward: 1.03 times as fast for V1, 1.09 for V3; in bfloat16 1.12 and 1.3.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from hifigan_cli.config.architecture import FINAL_LRELU_SLOPE, LRELU_SLOPE
from hifigan_cli.models.generator import Generator, ResBlock1
from hifigan_cli.models.losses import to_float32


class OptimizedGenerator(nn.Module):
    """A faster way to call a generator: `(batch, n_mels, frames)` -> `(batch, 1, samples)`."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, mel: Tensor) -> Tensor:
        """Generate samples from a log-mel, as the generator does."""
        net = self.generator
        kernels = len(net.config.resblock_kernel_sizes)
        x = mel.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        x = _convolve(net.conv_pre, x)
        for stage, up in enumerate(net.ups):
            x = _upsample(up, F.leaky_relu(x, LRELU_SLOPE))
            blocks = net.resblocks[stage * kernels : (stage + 1) * kernels]
            total = _residual(blocks[0], x)
            for block in blocks[1:]:
                total = total + _residual(block, x)
            x = total / kernels
        # Samples in bfloat16 would have noise 55 dB below the signal, which raises the mel loss in
        # quiet bands: mel_l1_full of the official V1 is 0.229, 0.244 in bfloat16, and 0.231 here.
        with torch.autocast(x.device.type, enabled=False):
            x = _convolve(net.conv_post, F.leaky_relu(to_float32(x), FINAL_LRELU_SLOPE))
            return torch.tanh(x).squeeze(2)


def _residual(block: nn.Module, x: Tensor) -> Tensor:
    if isinstance(block, ResBlock1):
        for dilated, plain in zip(block.convs1, block.convs2, strict=True):
            y = _convolve(dilated, F.leaky_relu(x, LRELU_SLOPE))
            x = x + _convolve(plain, F.leaky_relu(y, LRELU_SLOPE))
        return x
    for conv in cast("nn.ModuleList", block.convs):
        x = x + _convolve(conv, F.leaky_relu(x, LRELU_SLOPE))
    return x


def _convolve(module: nn.Module, x: Tensor) -> Tensor:
    conv = cast("nn.Conv1d", module)
    padding, dilation = (0, int(conv.padding[0])), (1, conv.dilation[0])
    return F.conv2d(x, conv.weight.unsqueeze(2), conv.bias, 1, padding, dilation)


def _upsample(module: nn.Module, x: Tensor) -> Tensor:
    up = cast("nn.ConvTranspose1d", module)
    stride, padding = (1, up.stride[0]), (0, int(up.padding[0]))
    return F.conv_transpose2d(x, up.weight.unsqueeze(2), up.bias, stride, padding)
