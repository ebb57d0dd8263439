"""A reference of ParallelWaveGAN's generator: torch's functions, its names, its paddings."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

StateDict = dict[str, Tensor]
Dilations = tuple[tuple[int, ...], ...]


def random_state(
    scales: tuple[int, ...],
    channels: int,
    kernel: int,
    sizes: tuple[int, ...],
    dilations: Dilations,
    *,
    additional: bool,
    bias: bool,
) -> StateDict:
    random = torch.Generator().manual_seed(9)
    state: StateDict = {}

    def layer(name: str, *shape: int, outputs: int) -> None:
        fan_in = shape[1] * shape[2]
        state[f"{name}.weight_v"] = torch.randn(shape, generator=random)
        state[f"{name}.weight_g"] = (
            torch.rand(shape[0], 1, 1, generator=random) * (60 / fan_in) ** 0.5
        )
        if bias:
            state[f"{name}.bias"] = 0.1 * torch.randn(outputs, generator=random)

    layer("input_conv", channels, 80, kernel, outputs=channels)
    for stage, scale in enumerate(scales):
        half = channels // 2
        layer(f"upsamples.{stage}.1", channels, half, 2 * scale, outputs=half)
        channels = half
        blocks = zip(sizes, dilations, strict=True)
        for number, (size, block_dilations) in enumerate(blocks, stage * len(sizes)):
            for index in range(len(block_dilations)):
                for convs in ("convs1", "convs2") if additional else ("convs1",):
                    name = f"blocks.{number}.{convs}.{index}.1"
                    layer(name, channels, channels, size, outputs=channels)
    layer("output_conv.1", 1, channels, kernel, outputs=1)
    return state


def synthesize_parallel_wavegan(
    state: StateDict, mel: Tensor, scales: tuple[int, ...], dilations: Dilations, slope: float
) -> Tensor:
    """Synthesize `(samples,)` from a normalized mel `(n_mels, frames)`."""

    def weight(name: str) -> Tensor:
        v = state[f"{name}.weight_v"]
        norm = v.square().sum(dim=(1, 2), keepdim=True).sqrt()
        return state[f"{name}.weight_g"] * v / norm

    def conv(name: str, x: Tensor, dilation: int = 1) -> Tensor:
        kernel = weight(name)
        padding = (kernel.shape[2] - 1) // 2 * dilation
        return F.conv1d(x, kernel, state.get(f"{name}.bias"), 1, padding, dilation)

    x = conv("input_conv", mel[None])
    for stage, scale in enumerate(scales):
        name = f"upsamples.{stage}.1"
        x = F.conv_transpose1d(
            F.leaky_relu(x, slope),
            weight(name),
            state.get(f"{name}.bias"),
            scale,
            scale // 2 + scale % 2,
            scale % 2,
        )
        total = torch.zeros_like(x)
        for number, block_dilations in enumerate(dilations):
            block, y = f"blocks.{stage * len(dilations) + number}", x
            for index, dilation in enumerate(block_dilations):
                z = conv(f"{block}.convs1.{index}.1", F.leaky_relu(y, slope), dilation)
                if f"{block}.convs2.{index}.1.weight_v" in state:
                    z = conv(f"{block}.convs2.{index}.1", F.leaky_relu(z, slope))
                y = z + y
            total = total + y
        x = total / len(dilations)
    return torch.tanh(conv("output_conv.1", F.leaky_relu(x, 0.01)))[0, 0]
