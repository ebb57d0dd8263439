"""A slow reference of the generator and the discriminators, written from the paper.

It shares no code with `hifigan_cli.models`. Convolutions are sums of shifted products in numpy, in
float64, as in the formulas.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.types import DoubleArray

if TYPE_CHECKING:
    from hifigan_cli.config import GeneratorConfig

State = Mapping[str, DoubleArray]


def lrelu(x: DoubleArray, slope: float) -> DoubleArray:
    return np.where(x > 0, x, slope * x)


def conv(
    x: DoubleArray,
    weight: DoubleArray,
    bias: DoubleArray,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    *,
    reflect: bool = False,
) -> DoubleArray:
    """Convolve `(inputs, length)` with `(outputs, inputs / groups, kernel)`, tap by tap."""
    outputs, narrow, kernel = weight.shape
    if reflect:
        x = np.concatenate([x[:, padding:0:-1], x, x[:, -2 : -2 - padding : -1]], axis=1)
    else:
        x = np.pad(x, ((0, 0), (padding, padding)))
    length = (x.shape[1] - dilation * (kernel - 1) - 1) // stride + 1
    y = np.repeat(bias[:, None], length, axis=1)
    wide = outputs // groups
    for group in range(groups):
        rows = slice(group * wide, (group + 1) * wide)
        part = x[group * narrow : (group + 1) * narrow]
        for tap in range(kernel):
            shifted = part[:, tap * dilation :][:, ::stride][:, :length]
            y[rows] += weight[rows, :, tap] @ shifted
    return y


def transposed(
    x: DoubleArray, weight: DoubleArray, bias: DoubleArray, rate: int, padding: int
) -> DoubleArray:
    """Add each input to `kernel` outputs, `rate` apart; trim `padding` from both ends."""
    _, outputs, kernel = weight.shape
    full = np.zeros((outputs, (x.shape[1] - 1) * rate + kernel))
    for i in range(x.shape[1]):
        full[:, i * rate : i * rate + kernel] += np.einsum("i,iok->ok", x[:, i], weight)
    return full[:, padding : full.shape[1] - padding] + bias[:, None]


def generate(config: GeneratorConfig, state: State, mel: DoubleArray) -> DoubleArray:
    """Generate `(samples,)` from a log-mel `(n_mels, frames)` with folded weights."""
    slope, reflect = config.variant.slope, config.variant.conv_padding == "reflect"

    def apply(name: str, x: DoubleArray, dilation: int = 1) -> DoubleArray:
        weight = state[f"{name}.weight"]
        padding = dilation * (weight.shape[2] - 1) // 2
        return conv(x, weight, state[f"{name}.bias"], 1, padding, dilation, reflect=reflect)

    def residual(name: str, x: DoubleArray, dilations: tuple[int, ...]) -> DoubleArray:
        for i, dilation in enumerate(dilations):
            if config.resblock == 1:
                y = apply(f"{name}.convs1.{i}", lrelu(x, slope), dilation)
                x = x + apply(f"{name}.convs2.{i}", lrelu(y, slope))
            else:
                x = x + apply(f"{name}.convs.{i}", lrelu(x, slope), dilation)
        return x

    x = apply("conv_pre", mel)
    kernels = len(config.resblock_kernel_sizes)
    for stage, rate in enumerate(config.upsample_rates):
        padding = (config.upsample_kernel_sizes[stage] - rate) // 2
        weight, bias = state[f"ups.{stage}.weight"], state[f"ups.{stage}.bias"]
        x = transposed(lrelu(x, slope), weight, bias, rate, padding)
        x = np.mean(
            [
                residual(f"resblocks.{stage * kernels + i}", x, dilations)
                for i, dilations in enumerate(config.resblock_dilation_sizes)
            ],
            axis=0,
        )
    return np.asarray(np.tanh(apply("conv_post", lrelu(x, 0.01))[0]))


def period_maps(period: int, state: State, samples: DoubleArray) -> list[DoubleArray]:
    """Return the feature maps of an MPD sub-discriminator: `(channels, rows, period)` each.

    The last map is the scores.
    """
    padding = -len(samples) % period
    if padding:
        samples = np.concatenate([samples, samples[-2 : -2 - padding : -1]])
    columns = [samples[column::period][None] for column in range(period)]
    maps = []
    for i, stride in enumerate((3, 3, 3, 3, 1)):
        weight, bias = state[f"convs.{i}.weight"][..., 0], state[f"convs.{i}.bias"]
        columns = [lrelu(conv(column, weight, bias, stride, 2), 0.1) for column in columns]
        maps.append(np.stack(columns, axis=-1))
    weight, bias = state["conv_post.weight"][..., 0], state["conv_post.bias"]
    maps.append(np.stack([conv(column, weight, bias, 1, 1) for column in columns], axis=-1))
    return maps


def scale_maps(state: State, samples: DoubleArray) -> list[DoubleArray]:
    """Return the feature maps of an MSD sub-discriminator; the last map is the scores."""
    x, maps = samples[None], []
    for i, (stride, groups) in enumerate(
        [(1, 1), (2, 4), (2, 16), (4, 16), (4, 16), (1, 16), (1, 1)]
    ):
        weight, bias = state[f"convs.{i}.weight"], state[f"convs.{i}.bias"]
        x = lrelu(conv(x, weight, bias, stride, weight.shape[2] // 2, 1, groups), 0.1)
        maps.append(x)
    maps.append(conv(x, state["conv_post.weight"], state["conv_post.bias"], 1, 1))
    return maps


def downsample(samples: DoubleArray) -> DoubleArray:
    """Average windows of 4 every 2 samples, including 2 zeros of padding at both ends."""
    padded = np.pad(samples, 2)
    return np.array([padded[i : i + 4].mean() for i in range(0, len(padded) - 3, 2)])
