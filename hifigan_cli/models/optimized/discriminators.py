"""Both discriminators (paper section 2.3) on recordings `y` and generated `y_hat` at once.

This is a faster form of `models.discriminators`, with the same parameters:

- In the discriminator step, `y` and `y_hat` are one batch: each weight is normalized once, read
  once, and gets one gradient.
- In the generator step, `y` is a target and needs no gradients. It runs separately, with the same
  normalized weights, which are constants in this step.
- MPD stores the samples of a column contiguously, `(batch, channels, period, rows)`: the last two
  axes of its maps are transposed, which does not change the losses.
- Spectral norm divides a weight by its largest singular value, which one power iteration per
  training pass estimates, so `y` and `y_hat` have different estimates. A convolution is linear in
  its weight, so both can be in one batch if the input of each half is divided by its estimate. This
  is exact. The power iterations run before the passes (`power_iteration`) and are shared by all
  micro-batches, so that their gradients add up to those of the full batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hifigan_cli.audio.mel import reflect_pad
from hifigan_cli.models.discriminators import LRELU_SLOPE, DiscriminatorOutput, downsample
from hifigan_cli.models.optimized.convolutions import convolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch.nn.utils.parametrizations import _SpectralNorm

    from hifigan_cli.models.discriminators import MultiPeriodDiscriminator, MultiScaleDiscriminator

Outputs = tuple[
    list[DiscriminatorOutput], list[DiscriminatorOutput]
]  # outputs for y, outputs for y_hat
# For one layer with spectral norm: the left and the right singular vector of each pass.
SingularVectors = list[tuple[Tensor, Tensor]]
_PASSES = 2  # y, then y_hat


class OptimizedDiscriminators(nn.Module):
    """A faster way to call the networks `mpd` and `msd`, which do not change."""

    def __init__(self, mpd: MultiPeriodDiscriminator, msd: MultiScaleDiscriminator) -> None:
        super().__init__()
        self.mpd = mpd
        self.msd = msd

    @torch.no_grad()
    def power_iteration(self) -> list[SingularVectors]:
        """Update the singular vectors by one power iteration for `y` and one for `y_hat`.

        Call this once per step and pass the result to `forward` or `forward_generator_step` for
        each micro-batch. In evaluation mode the vectors do not change, as in spectral norm itself.
        """
        all_vectors = []
        layers = (layer for sub in self.msd.discriminators for layer in _layers(sub))
        for layer in filter(_is_spectral, layers):
            norm, matrix = _norm(layer), _original(layer).flatten(1)
            vectors = []
            for _ in range(_PASSES):
                if norm.training:
                    norm._power_method(matrix, norm.n_power_iterations)
                vectors.append((norm._u.clone(), norm._v.clone()))
            all_vectors.append(vectors)
        return all_vectors

    def forward(self, y: Tensor, y_hat: Tensor, vectors: Sequence[SingularVectors]) -> Outputs:
        """Score `y` and `y_hat`, each `(batch, 1, samples)`, in one batch."""
        both, remaining = torch.cat([y, y_hat]), iter(vectors)
        outputs = []
        for sub in self.mpd.discriminators:
            convs = [_conv_from_layer(layer) for layer in _layers(sub)]
            outputs.append(_run_layers(convs, _reshape_by_period(both, cast("int", sub.period))))
        for scale, sub in enumerate(self.msd.discriminators):
            both = downsample(both) if scale else both
            convs = [
                _input_scaled_conv(layer, next(remaining), len(y))
                if _is_spectral(layer)
                else _conv_from_layer(layer)
                for layer in _layers(sub)
            ]
            outputs.append(_run_layers(convs, both))
        y_slice, y_hat_slice = slice(len(y)), slice(len(y), None)
        return [_select(o, y_slice) for o in outputs], [_select(o, y_hat_slice) for o in outputs]

    def forward_generator_step(
        self, y: Tensor, y_hat: Tensor, vectors: Sequence[SingularVectors]
    ) -> Outputs:
        """Score `y` and `y_hat` in the generator step: only `y_hat` gets gradients."""
        remaining = iter(vectors)
        y_outputs, y_hat_outputs = [], []

        def run(convs: Sequence[Sequence[_Conv]], y: Tensor, y_hat: Tensor) -> None:
            with torch.no_grad():
                y_outputs.append(_run_layers(convs[0], y))
            y_hat_outputs.append(_run_layers(convs[1], y_hat))

        for sub in self.mpd.discriminators:
            convs = [_detached_conv(layer) for layer in _layers(sub)]
            period = cast("int", sub.period)
            run((convs, convs), _reshape_by_period(y, period), _reshape_by_period(y_hat, period))
        for scale, sub in enumerate(self.msd.discriminators):
            if scale:
                y, y_hat = downsample(y), downsample(y_hat)
            layer_convs = [
                _spectral_norm_convs(layer, next(remaining))
                if _is_spectral(layer)
                else [_detached_conv(layer)] * _PASSES
                for layer in _layers(sub)
            ]
            run(list(zip(*layer_convs, strict=True)), y, y_hat)
        return y_outputs, y_hat_outputs


class _Conv(NamedTuple):
    """One convolution with a normalized weight."""

    weight: Tensor
    bias: Tensor | None
    stride: int
    groups: int
    scale: Tensor | None = None  # `(batch, 1, 1)`, a factor for the input

    def __call__(self, x: Tensor) -> Tensor:
        if self.scale is not None:
            x = (x * self.scale).to(x.dtype)
        if self.weight.dim() == 3:
            return convolve(x, self.weight, self.bias, self.stride, self.groups)
        if x.is_cuda:  # the memory layout of bf16 tensor cores
            x = x.contiguous(memory_format=torch.channels_last)
        padding = (0, self.weight.shape[3] // 2)
        return F.conv2d(x, self.weight, self.bias, (1, self.stride), padding)


def _run_layers(convs: Sequence[_Conv], x: Tensor) -> DiscriminatorOutput:
    """Run a stack of convolutions; a leaky ReLU follows all but the last."""
    feature_maps = []
    for conv in convs[:-1]:
        x = F.leaky_relu(conv(x), LRELU_SLOPE)
        feature_maps.append(x)
    x = convs[-1](x)
    return DiscriminatorOutput(x.flatten(1), [*feature_maps, x])


def _select(output: DiscriminatorOutput, rows: slice) -> DiscriminatorOutput:
    return DiscriminatorOutput(output.scores[rows], [fmap[rows] for fmap in output.feature_maps])


def _reshape_by_period(samples: Tensor, period: int) -> Tensor:
    """Reshape `(batch, 1, samples)` to `(batch, 1, period, rows)`; reflect at the end."""
    padding = -samples.shape[2] % period
    if padding:
        samples = reflect_pad(samples, 0, padding)
    batch, channels, length = samples.shape
    return samples.view(batch, channels, length // period, period).transpose(2, 3).contiguous()


def _layers(sub: nn.Module) -> list[nn.Module]:
    return [*sub.convs, sub.conv_post]  # type: ignore[misc,list-item]  # known to be modules


def _conv_from_layer(
    layer: nn.Module, weight: Tensor | None = None, scale: Tensor | None = None
) -> _Conv:
    """Convert a layer, with `weight` or its own normalized weight, without detaching it."""
    weight = cast("Tensor", layer.weight) if weight is None else weight
    if weight.dim() == 4:
        weight = weight.transpose(2, 3)  # the rows are the last axis here
    device_type = weight.device.type
    if torch.is_autocast_enabled(device_type):
        weight = weight.to(torch.get_autocast_dtype(device_type))  # once, not in every call
    return _Conv(weight, layer.bias, layer.stride[0], layer.groups, scale)  # type: ignore[index,arg-type]


@torch.no_grad()
def _detached_conv(layer: nn.Module, weight: Tensor | None = None) -> _Conv:
    conv = _conv_from_layer(layer, weight)
    return conv._replace(bias=None if conv.bias is None else conv.bias.detach())


def _input_scaled_conv(layer: nn.Module, vectors: SingularVectors, batch_size: int) -> _Conv:
    """Convert a layer; it divides its inputs, instead of its weight, by the singular values."""
    weight = _original(layer)
    scales = torch.stack([1 / _singular_value(weight, pair) for pair in vectors])
    return _conv_from_layer(layer, weight, scales.repeat_interleave(batch_size)[:, None, None])


@torch.no_grad()
def _spectral_norm_convs(layer: nn.Module, vectors: SingularVectors) -> list[_Conv]:
    """Convert a layer with spectral norm once for each pass, with its normalized weight."""
    weight = _original(layer)
    return [_detached_conv(layer, weight / _singular_value(weight, pair)) for pair in vectors]


def _singular_value(weight: Tensor, vectors: tuple[Tensor, Tensor]) -> Tensor:
    """Estimate the largest singular value as u W v, differentiable with respect to the weight."""
    left, right = vectors
    with torch.autocast(weight.device.type, enabled=False):
        return torch.vdot(left, torch.mv(weight.flatten(1), right))


def _is_spectral(layer: nn.Module) -> bool:
    return parametrize.is_parametrized(layer, "weight") and hasattr(_norm(layer), "_power_method")


def _norm(layer: nn.Module) -> _SpectralNorm:
    norm: _SpectralNorm = layer.parametrizations.weight[0]  # type: ignore[index,union-attr,assignment]
    return norm


def _original(layer: nn.Module) -> Tensor:
    """Return the parameter of a layer with spectral norm, before normalization."""
    weight: Tensor = layer.parametrizations.weight.original  # type: ignore[union-attr,assignment]
    return weight
