"""Strided, grouped convolutions in the order of memory that the processor likes.

MSD's layers skip by 2 or 4 samples and have few channels a group. A CPU runs them at a third of the
speed of a plain convolution. Take every s-th sample apart into channels of their own (s phases of
the signal, s phases of the kernel, the last padded with zeros): what remains has stride 1, s times
the channels, and the same sums in another order.

Measured on a CPU with AVX-512, forward: 1.8 to 2.5 times as fast for stride 2, 1.2 to 1.6 for
stride 4; backward, stride 4 gains as much and stride 2 loses, so that it keeps the usual one.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.autograd.function import once_differentiable


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int = 1, groups: int = 1
) -> Tensor:
    """Convolve `(batch, channels, samples)`, half a kernel of zeros at each end.

    Shape: weight `(outputs, channels / groups, kernel)`, of odd kernel; bias `(outputs,)`.
    """
    padding = weight.shape[2] // 2
    if stride == 1 or x.device.type != "cpu":
        return F.conv1d(x, weight, bias, stride, padding, groups=groups)
    x = x.to(weight.dtype)
    if stride % 4 == 0:
        return in_phases(x, weight, bias, stride, groups)
    y: Tensor = _ForwardInPhases.apply(x, weight, bias, stride, groups)
    return y


def in_phases(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, groups: int) -> Tensor:
    """Convolve with a stride as one convolution without, over `stride` phases."""
    (batch, channels, samples), (outputs, narrow, kernel) = x.shape, weight.shape
    taps = -(-kernel // stride)
    places = (samples - 1) // stride + 1  # padding keeps the length before the stride
    rows = places - 1 + taps
    x = F.pad(x, (kernel // 2, rows * stride - samples - kernel // 2))
    x = x.view(batch, channels, rows, stride).transpose(2, 3)
    x = x.reshape(batch, channels * stride, rows)  # a channel's phases side by side
    weight = F.pad(weight, (0, taps * stride - kernel))
    weight = weight.view(outputs, narrow, taps, stride).transpose(2, 3)
    weight = weight.reshape(outputs, narrow * stride, taps)
    return F.conv1d(x, weight, bias, groups=groups)


class _ForwardInPhases(torch.autograd.Function):
    """The forward pass in phases; the backward pass as a strided convolution has it."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, groups: int
    ) -> Tensor:
        """Convolve, and keep what the backward pass needs."""
        ctx.save_for_backward(x, weight)
        ctx.bias, ctx.stride, ctx.groups = bias is not None, stride, groups
        return in_phases(x, weight, bias, stride, groups)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of input, weight and bias, where they are wanted."""
        x, weight = ctx.saved_tensors
        wanted = [*ctx.needs_input_grad[:2], ctx.bias and ctx.needs_input_grad[2]]
        found = torch.ops.aten.convolution_backward(
            gradients[0],
            x,
            weight,
            [weight.shape[0]],
            [ctx.stride],
            [weight.shape[2] // 2],
            [1],
            False,
            [0],
            ctx.groups,
            wanted,
        )
        return (*found, None, None)
