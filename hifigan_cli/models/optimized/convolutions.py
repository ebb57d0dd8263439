"""Strided, grouped convolutions, computed in a fast form for the device.

MSD's layers have a stride of 2 or 4 and few channels per group. A CPU runs them at a third of the
speed of a convolution without stride. The polyphase form splits the signal and the kernel into s
phases, one channel each (the last phase of the kernel padded with zeros). The result is a
convolution with stride 1, s times the channels, and the same sums in another order.

Measured on a CPU with AVX-512, the forward pass is 1.8 to 2.5 times as fast for stride 2, and 1.2
to 1.6 times for stride 4. The backward pass gains as much for stride 4 and loses for stride 2,
which therefore keeps the usual backward pass.

On a GPU, in 16-bit formats, the first call measures several algorithms and selects the fastest.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from collections.abc import Callable


class ConvAlgorithm(NamedTuple):
    """One of several ways to compute the same convolution.

    Attributes:
        phases: replace the stride by channels (`polyphase`).
        merged: how many groups to merge into one, with zeros between them: more arithmetic, but in
            larger blocks.
        channels_last: run a 2-D convolution of height 1 with contiguous channels.
    """

    phases: bool = False
    merged: int = 1
    channels_last: bool = False

    def __call__(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, groups: int
    ) -> Tensor:
        """Convolve `(batch, channels, samples)`, padding half a kernel of zeros at both ends."""
        padding = weight.shape[2] // 2
        if self.phases and stride > 1:
            x, weight = polyphase(x, weight, stride)
            stride, padding = 1, 0
        if self.merged > 1:
            weight, groups = merge_groups(weight, groups, self.merged), groups // self.merged
        if not self.channels_last:
            return F.conv1d(x, weight, bias, stride, padding, groups=groups)
        x, weight = (
            t[:, :, None].contiguous(memory_format=torch.channels_last) for t in (x, weight)
        )
        return F.conv2d(x, weight, bias, (1, stride), (0, padding), groups=groups)[:, :, 0]


PLAIN, POLYPHASE = ConvAlgorithm(), ConvAlgorithm(phases=True)
_MERGED = (1, 4, 16)
_RUNS = 3  # per measurement
_HEAD_START_CYCLES = 4_000_000  # about 2 ms, for the host to launch all runs of a measurement
_fastest: dict[tuple[object, ...], ConvAlgorithm] = {}


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int = 1, groups: int = 1
) -> Tensor:
    """Convolve `(batch, channels, samples)`, padding half a kernel of zeros at both ends.

    Shapes: weight `(outputs, channels / groups, kernel)` with an odd kernel; bias `(outputs,)`.
    """
    x = x.to(weight.dtype)
    if x.device.type == "cpu" and stride > 1:
        if stride % 4 == 0:
            return POLYPHASE(x, weight, bias, stride, groups)
        y: Tensor = _PolyphaseForward.apply(x, weight, bias, stride, groups)
        return y
    algorithm = fastest_algorithm(x, weight, bias, stride, groups) if x.is_cuda else PLAIN
    return algorithm(x, weight, bias, stride, groups)


def conv_algorithms(stride: int, groups: int) -> list[ConvAlgorithm]:
    """Return all distinct algorithms for a stride and a number of groups; the plain one first."""
    return [
        ConvAlgorithm(phases, merged, channels_last)
        for phases in ((False, True) if stride > 1 else (False,))
        for merged in _MERGED
        if groups % merged == 0
        for channels_last in (False, True)
    ]


def fastest_algorithm(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, groups: int
) -> ConvAlgorithm:
    """Return the fastest algorithm for these shapes on this GPU, measured at the first call.

    GPUs have fast kernels for 16-bit convolutions with wide groups and slow ones for narrow groups;
    the boundary depends on the GPU and its libraries. The plain algorithm is used in float32, in
    deterministic mode, when compiling, and when a CUDA graph is captured.
    """
    if (
        weight.dtype == torch.float32
        or torch.compiler.is_compiling()
        or torch.are_deterministic_algorithms_enabled()
    ):
        return PLAIN
    grad_enabled = torch.is_grad_enabled()
    needs_grad = grad_enabled and x.requires_grad, grad_enabled and weight.requires_grad
    key = (x.device, x.shape, x.stride(), weight.shape, weight.dtype, stride, groups, needs_grad)
    if key not in _fastest:
        if torch.cuda.is_current_stream_capturing():
            return PLAIN
        times = {}
        for algorithm in conv_algorithms(stride, groups):
            run = partial(algorithm.__call__, bias=bias, stride=stride, groups=groups)
            times[algorithm] = _measure_ms(run, x, weight, needs_grad)
        _fastest[key] = min(times, key=times.__getitem__)
    return _fastest[key]


def _measure_ms(
    algorithm: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    weight: Tensor,
    needs_grad: tuple[bool, bool],
) -> float:
    """Return the time of a convolution with the needed gradients, or infinity if it fails."""
    x = x.detach().requires_grad_(needs_grad[0])
    weight = weight.detach().requires_grad_(needs_grad[1])
    inputs = [tensor for tensor in (x, weight) if tensor.requires_grad]
    begin, end = (
        torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        for _ in range(2)
    )

    def run() -> None:
        y = algorithm(x, weight)
        if inputs:
            torch.autograd.grad(y, inputs, torch.empty_like(y))

    try:
        run()
        # Let the host launch first, so that only the kernels are measured.
        torch.cuda._sleep(_HEAD_START_CYCLES)  # type: ignore[no-untyped-call]
        begin.record()
        for _ in range(_RUNS):
            run()
        end.record()
        end.synchronize()
    except RuntimeError:  # out of memory, or no kernel for this algorithm
        return math.inf
    return float(begin.elapsed_time(end))


def polyphase(x: Tensor, weight: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Split signal and weight into `stride` phases, for the same convolution with stride 1.

    The returned signal is already padded.
    """
    (batch, channels, samples), (outputs, narrow, kernel) = x.shape, weight.shape
    taps = -(-kernel // stride)
    positions = (samples - 1) // stride + 1  # the output length
    rows = positions - 1 + taps
    x = F.pad(x, (kernel // 2, rows * stride - samples - kernel // 2))
    x = x.reshape(batch, channels, rows, stride).transpose(2, 3)
    x = x.reshape(batch, channels * stride, rows)  # the phases of a channel are adjacent
    weight = F.pad(weight, (0, taps * stride - kernel))
    weight = weight.view(outputs, narrow, taps, stride).transpose(2, 3)
    return x, weight.reshape(outputs, narrow * stride, taps)


def merge_groups(weight: Tensor, groups: int, merged: int) -> Tensor:
    """Return the weight of the same convolution with each `merged` groups merged into one."""
    outputs, narrow, kernel = weight.shape
    blocks = weight.reshape(groups // merged, merged, outputs // groups, 1, narrow, kernel)
    diagonal = torch.eye(merged, dtype=weight.dtype, device=weight.device)
    wide = blocks * diagonal[None, :, None, :, None, None]
    return wide.reshape(outputs, merged * narrow, kernel)


class _PolyphaseForward(torch.autograd.Function):
    """Polyphase in the forward pass; the usual strided convolution in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, groups: int
    ) -> Tensor:
        """Convolve, and save the tensors for the backward pass."""
        ctx.save_for_backward(x, weight)
        ctx.bias, ctx.stride, ctx.groups = bias is not None, stride, groups
        return POLYPHASE(x, weight, bias, stride, groups)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of input, weight and bias, where needed."""
        x, weight = ctx.saved_tensors
        mask = [*ctx.needs_input_grad[:2], ctx.bias and ctx.needs_input_grad[2]]
        outputs, padding = [weight.shape[0]], [weight.shape[2] // 2]
        sizes = outputs, [ctx.stride], padding, [1], False, [0], ctx.groups
        grads = torch.ops.aten.convolution_backward(gradients[0], x, weight, *sizes, mask)
        return (*grads, None, None)
