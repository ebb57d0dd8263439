"""Both discriminators (paper section 2.3) on recordings `y` and generated `y_hat` at once.

`models.discriminators` is the plain writing; this one runs the same parameters:

- In the discriminators' turn `y` and `y_hat` are one batch: each weight is normalized once, read
  once, and takes one gradient.
- In the generator's turn `y` is a target and needs no gradients: it goes apart, with the same
  normalized weights, which are constants there.
- MPD lays the samples of a column side by side, `(batch, channels, period, rows)`: its maps are
  the plain ones with the last two axes exchanged, which no loss notices.
- Spectral norm divides a weight by its largest singular value, which each training pass follows by
  one power iteration, so `y` and `y_hat` see two estimates. A convolution is linear in its weight:
  both can be one batch, if each half's input is divided by its own estimate. That is exact. The
  iterations are made before the passes (`vectors`): pieces of one batch share them, so that the
  pieces' gradients add up to the whole batch's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hifigan_cli.audio.mel import reflected
from hifigan_cli.models.discriminators import SLOPE, DiscriminatorOutput, halve
from hifigan_cli.models.optimized.convolutions import convolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch.nn.utils.parametrizations import _SpectralNorm

    from hifigan_cli.models.discriminators import MultiPeriodDiscriminator, MultiScaleDiscriminator

Outputs = tuple[list[DiscriminatorOutput], list[DiscriminatorOutput]]  # of y, of y_hat
# Of one layer with spectral norm, for each pass to come: the left and the right singular vector.
Vectors = list[tuple[Tensor, Tensor]]
_PASSES = 2  # y, then y_hat


class OptimizedDiscriminators(nn.Module):
    """The networks `mpd` and `msd`, called in another way; they stay what they are."""

    def __init__(self, mpd: MultiPeriodDiscriminator, msd: MultiScaleDiscriminator) -> None:
        super().__init__()
        self.mpd = mpd
        self.msd = msd

    @torch.no_grad()
    def vectors(self) -> list[Vectors]:
        """Follow the singular vectors by one power iteration for `y` and one for `y_hat`.

        To be called once a turn, for all pieces of its batch; `forward` and `compare` take it. In
        evaluation mode the vectors stay what they are, as spectral norm itself has it.
        """
        found = []
        layers = (conv for sub in self.msd.discriminators for conv in _layers(sub))
        for conv in filter(_is_spectral, layers):
            norm, matrix = _norm(conv), _original(conv).flatten(1)
            of_passes = []
            for _ in range(_PASSES):
                if norm.training:
                    norm._power_method(matrix, norm.n_power_iterations)
                of_passes.append((norm._u.clone(), norm._v.clone()))
            found.append(of_passes)
        return found

    def forward(self, y: Tensor, y_hat: Tensor, vectors: Sequence[Vectors]) -> Outputs:
        """Discriminate `y` and `y_hat`, each `(batch, 1, samples)`, in one batch."""
        both, known = torch.cat([y, y_hat]), iter(vectors)
        outputs = []
        for sub in self.mpd.discriminators:
            kernels = [_kernel(conv) for conv in _layers(sub)]
            outputs.append(_discriminate(kernels, _columns(both, cast("int", sub.period))))
        for scale, sub in enumerate(self.msd.discriminators):
            both = halve(both) if scale else both
            kernels = [
                _undivided(conv, next(known), len(y)) if _is_spectral(conv) else _kernel(conv)
                for conv in _layers(sub)
            ]
            outputs.append(_discriminate(kernels, both))
        of_y, of_y_hat = slice(len(y)), slice(len(y), None)
        return [_rows(o, of_y) for o in outputs], [_rows(o, of_y_hat) for o in outputs]

    def compare(self, y: Tensor, y_hat: Tensor, vectors: Sequence[Vectors]) -> Outputs:
        """Do the same for the generator's turn: gradients reach `y_hat` and nothing else."""
        known = iter(vectors)
        of_y, of_y_hat = [], []

        def run(kernels: Sequence[Sequence[_Kernel]], y: Tensor, y_hat: Tensor) -> None:
            with torch.no_grad():
                of_y.append(_discriminate(kernels[0], y))
            of_y_hat.append(_discriminate(kernels[1], y_hat))

        for sub in self.mpd.discriminators:
            kernels = [_constant(conv) for conv in _layers(sub)]
            period = cast("int", sub.period)
            run((kernels, kernels), _columns(y, period), _columns(y_hat, period))
        for scale, sub in enumerate(self.msd.discriminators):
            if scale:
                y, y_hat = halve(y), halve(y_hat)
            of_layers = [
                _divided(conv, next(known)) if _is_spectral(conv) else [_constant(conv)] * _PASSES
                for conv in _layers(sub)
            ]
            run(list(zip(*of_layers, strict=True)), y, y_hat)
        return of_y, of_y_hat


class _Kernel(NamedTuple):
    """One convolution with its weight normalized."""

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


def _discriminate(kernels: Sequence[_Kernel], x: Tensor) -> DiscriminatorOutput:
    """Run a stack of convolutions; a leaky ReLU follows each but the last."""
    feature_maps = []
    for kernel in kernels[:-1]:
        x = F.leaky_relu(kernel(x), SLOPE)
        feature_maps.append(x)
    x = kernels[-1](x)
    return DiscriminatorOutput(x.flatten(1), [*feature_maps, x])


def _rows(output: DiscriminatorOutput, rows: slice) -> DiscriminatorOutput:
    return DiscriminatorOutput(output.scores[rows], [each[rows] for each in output.feature_maps])


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
    """Take a layer with `weight`, or its own as normalized; gradients flow where they can."""
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
    weight = _original(conv)
    scales = torch.stack([1 / _singular_value(weight, of_pass) for of_pass in vectors])
    return _kernel(conv, weight, scales.repeat_interleave(each)[:, None, None])


@torch.no_grad()
def _divided(conv: nn.Module, vectors: Vectors) -> list[_Kernel]:
    """Take a spectral layer once for each pass, with its weight divided."""
    weight = _original(conv)
    return [_constant(conv, weight / _singular_value(weight, of_pass)) for of_pass in vectors]


def _singular_value(weight: Tensor, vectors: tuple[Tensor, Tensor]) -> Tensor:
    """Estimate the largest singular value as u W v, through which gradients reach the weight."""
    left, right = vectors
    with torch.autocast(weight.device.type, enabled=False):
        return torch.vdot(left, torch.mv(weight.flatten(1), right))


def _is_spectral(conv: nn.Module) -> bool:
    return parametrize.is_parametrized(conv, "weight") and hasattr(_norm(conv), "_power_method")


def _norm(conv: nn.Module) -> _SpectralNorm:
    norm: _SpectralNorm = conv.parametrizations.weight[0]  # type: ignore[index,union-attr,assignment]
    return norm


def _original(conv: nn.Module) -> Tensor:
    """Return the trained weight itself, not divided."""
    weight: Tensor = conv.parametrizations.weight.original  # type: ignore[union-attr,assignment]
    return weight
