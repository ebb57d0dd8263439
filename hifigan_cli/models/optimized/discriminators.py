"""Both discriminators (paper section 2.3) on real and generated samples at once.

`discriminators` is the plain writing; this one runs the same parameters:

- In the discriminators' turn real and generated samples are one batch: each weight is normalised
  once, read once, and takes one gradient.
- In the generator's turn the real samples are a target and need no gradients: they go apart, with
  the same normalised weights, which are constants there.
- MPD lays the samples of a column side by side, `(batch, channels, period, rows)`: its maps are
  the plain ones with the last two axes exchanged, which no loss notices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from hifigan_cli.audio.mel import reflected
from hifigan_cli.models.discriminators.output import SLOPE, DiscriminatorOutput
from hifigan_cli.models.discriminators.scale import halve
from hifigan_cli.models.optimized.convolutions import convolve
from hifigan_cli.models.optimized.spectral import (
    Vectors,
    is_spectral,
    iterate,
    original,
    singular_value,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hifigan_cli.models.discriminators import (
        MultiPeriodDiscriminator,
        MultiScaleDiscriminator,
    )

Pair = tuple[list[DiscriminatorOutput], list[DiscriminatorOutput]]
_PASSES = 2  # real samples, then generated ones


class OptimizedDiscriminators(nn.Module):
    """The networks `mpd` and `msd`, called in another way; they stay what they are."""

    def __init__(self, mpd: MultiPeriodDiscriminator, msd: MultiScaleDiscriminator) -> None:
        super().__init__()
        self.mpd = mpd
        self.msd = msd

    def vectors(self) -> list[Vectors]:
        """Follow the spectral norms for one pass of real and one of generated samples.

        To be called once a turn, for all pieces of its batch; `forward` and `compare` take it.
        """
        convs = [conv for sub in self.msd.discriminators for conv in _layers(sub)]
        return [iterate(conv, _PASSES) for conv in convs if is_spectral(conv)]

    def forward(self, real: Tensor, fake: Tensor, vectors: Sequence[Vectors]) -> Pair:
        """Judge real and generated samples, each `(batch, 1, samples)`, in one batch."""
        both = torch.cat([real, fake])
        known = iter(vectors)
        judged = [
            _judge(
                [_kernel(conv) for conv in _layers(sub)], _columns(both, cast("int", sub.period))
            )
            for sub in self.mpd.discriminators
        ]
        for scale, sub in enumerate(self.msd.discriminators):
            both = halve(both) if scale else both
            kernels = [
                _undivided(conv, next(known), len(real)) if is_spectral(conv) else _kernel(conv)
                for conv in _layers(sub)
            ]
            judged.append(_judge(kernels, both))
        return [_rows(j, slice(len(real))) for j in judged], [
            _rows(j, slice(len(real), None)) for j in judged
        ]

    def compare(self, real: Tensor, fake: Tensor, vectors: Sequence[Vectors]) -> Pair:
        """Judge likewise, for the generator's turn: gradients reach `fake` and nothing else."""
        known = iter(vectors)
        judged = []
        for sub in self.mpd.discriminators:
            kernels = [_constant(conv) for conv in _layers(sub)]
            period = cast("int", sub.period)
            views = _columns(real, period), _columns(fake, period)
            judged.append(_judge_apart((kernels, kernels), views))
        for scale, sub in enumerate(self.msd.discriminators):
            if scale:
                real, fake = halve(real), halve(fake)
            of_passes = [
                _divided(conv, next(known)) if is_spectral(conv) else [_constant(conv)] * _PASSES
                for conv in _layers(sub)
            ]
            kernels_of = [k[0] for k in of_passes], [k[1] for k in of_passes]
            judged.append(_judge_apart(kernels_of, (real, fake)))
        return [pair[0] for pair in judged], [pair[1] for pair in judged]


class _Kernel(NamedTuple):
    """One convolution with its weight normalised."""

    weight: Tensor
    bias: Tensor | None
    stride: int
    groups: int
    scale: Tensor | None = None  # `(batch, 1, 1)`, which its input is multiplied by

    def __call__(self, x: Tensor) -> Tensor:
        if self.scale is not None:
            x = (x * self.scale).to(x.dtype)
        if self.weight.dim() == 3:
            return convolve(x, self.weight, self.bias, self.stride, self.groups)
        if x.is_cuda:  # the order that its bfloat16 units read
            x = x.contiguous(memory_format=torch.channels_last)
        padding = (0, self.weight.shape[3] // 2)
        return F.conv2d(x, self.weight, self.bias, (1, self.stride), padding)


def _judge(kernels: Sequence[_Kernel], x: Tensor) -> DiscriminatorOutput:
    """Run a stack of convolutions; a leaky ReLU follows each but the last."""
    features = []
    for kernel in kernels[:-1]:
        x = F.leaky_relu(kernel(x), SLOPE)
        features.append(x)
    x = kernels[-1](x)
    return DiscriminatorOutput(x.flatten(1), [*features, x])


def _judge_apart(
    kernels: tuple[Sequence[_Kernel], Sequence[_Kernel]], views: tuple[Tensor, Tensor]
) -> tuple[DiscriminatorOutput, DiscriminatorOutput]:
    with torch.no_grad():
        of_real = _judge(kernels[0], views[0])
    return of_real, _judge(kernels[1], views[1])


def _rows(judgement: DiscriminatorOutput, rows: slice) -> DiscriminatorOutput:
    return DiscriminatorOutput(judgement.logits[rows], [of[rows] for of in judgement.features])


def _columns(samples: Tensor, period: int) -> Tensor:
    """Reshape `(batch, 1, samples)` to `(batch, 1, period, rows)`; the end is reflected."""
    missing = -samples.shape[2] % period
    if missing:
        samples = reflected(samples, 0, missing)
    batch, channels, length = samples.shape
    return samples.view(batch, channels, length // period, period).transpose(2, 3).contiguous()


def _layers(sub: nn.Module) -> list[nn.Module]:
    return [*sub.convs, sub.conv_post]  # type: ignore[misc,list-item]  # known to be modules


def _kernel(conv: nn.Module, weight: Tensor | None = None, scale: Tensor | None = None) -> _Kernel:
    """Take a layer with `weight`, or its own as normalised; gradients flow where they can."""
    weight = cast("Tensor", conv.weight) if weight is None else weight
    if weight.dim() == 4:
        weight = weight.transpose(2, 3)  # along the rows, which lie in the last axis here
    kind = weight.device.type
    if torch.is_autocast_enabled(kind):
        weight = weight.to(torch.get_autocast_dtype(kind))  # once, not at every call
    return _Kernel(weight, conv.bias, conv.stride[0], conv.groups, scale)  # type: ignore[index,arg-type]


@torch.no_grad()
def _constant(conv: nn.Module, weight: Tensor | None = None) -> _Kernel:
    kernel = _kernel(conv, weight)
    return kernel._replace(bias=None if kernel.bias is None else kernel.bias.detach())


def _undivided(conv: nn.Module, vectors: Vectors, each: int) -> _Kernel:
    """Take a spectral layer's weight as it is, and divide each pass's `each` inputs instead."""
    weight = original(conv)
    scales = torch.stack([1 / singular_value(weight, of_pass) for of_pass in vectors])
    return _kernel(conv, weight, scales.repeat_interleave(each)[:, None, None])


@torch.no_grad()
def _divided(conv: nn.Module, vectors: Vectors) -> list[_Kernel]:
    """Take a spectral layer once for each pass, with its weight divided."""
    weight = original(conv)
    return [_constant(conv, weight / singular_value(weight, of_pass)) for of_pass in vectors]
