"""Strided, grouped convolutions in the order of memory that the processor likes.

MSD's layers skip by 2 or 4 samples and have few channels a group. A CPU runs them at a third of the
speed of a plain convolution. Take every s-th sample apart into channels of their own (s phases of
the signal, s phases of the kernel, the last padded with zeros): what remains has stride 1, s times
the channels, and the same sums in another order.

Measured on a CPU with AVX-512, forward: 1.8 to 2.5 times as fast for stride 2, 1.2 to 1.6 for
stride 4; backward, stride 4 gains as much and stride 2 loses, so that it keeps the usual one.

On a GPU, in 16-bit formats, several forms of the same sums are tried at the first call.
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


class Form(NamedTuple):
    """One of several ways to compute the same convolution.

    Attributes:
        phases: turn the stride into channels (`phases_of`).
        merged: groups that become one, with zeros between them: more arithmetic, of larger blocks.
        channels_last: as a 2-D convolution of height 1 whose channels are neighbors in memory.
    """

    phases: bool = False
    merged: int = 1
    channels_last: bool = False

    def __call__(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, groups: int
    ) -> Tensor:
        """Convolve `(batch, channels, samples)` with half a kernel of zeros at each end."""
        padding = weight.shape[2] // 2
        if self.phases and stride > 1:
            x, weight = phases_of(x, weight, stride)
            stride, padding = 1, 0
        if self.merged > 1:
            weight, groups = merged_groups(weight, groups, self.merged), groups // self.merged
        if not self.channels_last:
            return F.conv1d(x, weight, bias, stride, padding, groups=groups)
        x, weight = (t[:, :, None].contiguous(memory_format=_WIDE) for t in (x, weight))
        return F.conv2d(x, weight, bias, (1, stride), (0, padding), groups=groups)[:, :, 0]


PLAIN, IN_PHASES = Form(), Form(phases=True)
_WIDE = torch.channels_last
_MERGED = (1, 4, 16)
_RUNS = 3  # of each form in a trial
_HEAD_START_CYCLES = 4_000_000  # about 2 ms, in which the host launches all runs of a trial
_fastest: dict[tuple[object, ...], Form] = {}


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int = 1, groups: int = 1
) -> Tensor:
    """Convolve `(batch, channels, samples)`, half a kernel of zeros at each end.

    Shape: weight `(outputs, channels / groups, kernel)`, of odd kernel; bias `(outputs,)`.
    """
    x = x.to(weight.dtype)
    if x.device.type == "cpu" and stride > 1:
        if stride % 4 == 0:
            return IN_PHASES(x, weight, bias, stride, groups)
        y: Tensor = _ForwardInPhases.apply(x, weight, bias, stride, groups)
        return y
    form = fastest_form(x, weight, bias, stride, groups) if x.is_cuda else PLAIN
    return form(x, weight, bias, stride, groups)


def forms_of(stride: int, groups: int) -> list[Form]:
    """Return every form that differs for a stride and a number of groups; the plain one first."""
    return [
        Form(phases, merged, channels_last)
        for phases in ((False, True) if stride > 1 else (False,))
        for merged in _MERGED
        if groups % merged == 0
        for channels_last in (False, True)
    ]


def fastest_form(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, groups: int) -> Form:
    """Return the form that was the fastest for such tensors on this GPU, tried at the first call.

    GPUs have good kernels for 16-bit convolutions of wide groups and slow ones for narrow groups;
    where the border lies depends on the GPU and its libraries. In float32, where every run must
    give the same bits, and while a CUDA graph is captured or compiled, it is the plain one.
    """
    if (
        weight.dtype == torch.float32
        or torch.compiler.is_compiling()
        or torch.are_deterministic_algorithms_enabled()
    ):
        return PLAIN
    learning = torch.is_grad_enabled()
    needed = learning and x.requires_grad, learning and weight.requires_grad
    key = (x.device, x.shape, x.stride(), weight.shape, weight.dtype, stride, groups, needed)
    if key not in _fastest:
        if torch.cuda.is_current_stream_capturing():
            return PLAIN
        times = {}
        for form in forms_of(stride, groups):
            run = partial(form.__call__, bias=bias, stride=stride, groups=groups)
            times[form] = _trial_ms(run, x, weight, needed)
        _fastest[key] = min(times, key=times.__getitem__)
    return _fastest[key]


def _trial_ms(
    form: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Tensor, needed: tuple[bool, bool]
) -> float:
    """Return how long a form takes, with the gradients that are needed; inf where it fails."""
    x, weight = x.detach().requires_grad_(needed[0]), weight.detach().requires_grad_(needed[1])
    wanted = [tensor for tensor in (x, weight) if tensor.requires_grad]
    begin, end = (
        torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        for _ in range(2)
    )

    def run() -> None:
        y = form(x, weight)
        if wanted:
            torch.autograd.grad(y, wanted, torch.empty_like(y))

    try:
        run()
        # Kernels count, not how fast they are launched.
        torch.cuda._sleep(_HEAD_START_CYCLES)  # type: ignore[no-untyped-call]
        begin.record()
        for _ in range(_RUNS):
            run()
        end.record()
        end.synchronize()
    except RuntimeError:  # out of memory, or no kernel for it
        return math.inf
    return float(begin.elapsed_time(end))


def phases_of(x: Tensor, weight: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Return signal and weight of the same convolution over `stride` phases, without a stride.

    The ends are padded already.
    """
    (batch, channels, samples), (outputs, narrow, kernel) = x.shape, weight.shape
    taps = -(-kernel // stride)
    places = (samples - 1) // stride + 1  # padding keeps the length before the stride
    rows = places - 1 + taps
    x = F.pad(x, (kernel // 2, rows * stride - samples - kernel // 2))
    x = x.reshape(batch, channels, rows, stride).transpose(2, 3)
    x = x.reshape(batch, channels * stride, rows)  # a channel's phases side by side
    weight = F.pad(weight, (0, taps * stride - kernel))
    weight = weight.view(outputs, narrow, taps, stride).transpose(2, 3)
    return x, weight.reshape(outputs, narrow * stride, taps)


def merged_groups(weight: Tensor, groups: int, merged: int) -> Tensor:
    """Return the weight of the same convolution with `merged` groups in one, zeros between them."""
    outputs, narrow, kernel = weight.shape
    blocks = weight.reshape(groups // merged, merged, outputs // groups, 1, narrow, kernel)
    own = torch.eye(merged, dtype=weight.dtype, device=weight.device)
    wide = blocks * own[None, :, None, :, None, None]
    return wide.reshape(outputs, merged * narrow, kernel)


class _ForwardInPhases(torch.autograd.Function):
    """The forward pass in phases; the backward pass as a strided convolution has it."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, groups: int
    ) -> Tensor:
        """Convolve, and keep what the backward pass needs."""
        ctx.save_for_backward(x, weight)
        ctx.bias, ctx.stride, ctx.groups = bias is not None, stride, groups
        return IN_PHASES(x, weight, bias, stride, groups)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of input, weight and bias, where they are wanted."""
        x, weight = ctx.saved_tensors
        wanted = [*ctx.needs_input_grad[:2], ctx.bias and ctx.needs_input_grad[2]]
        outputs, padding = [weight.shape[0]], [weight.shape[2] // 2]
        sizes = outputs, [ctx.stride], padding, [1], False, [0], ctx.groups
        found = torch.ops.aten.convolution_backward(gradients[0], x, weight, *sizes, wanted)
        return (*found, None, None)
