"""Spectral norm for several passes at once.

Spectral norm divides a weight by its largest singular value, which each training pass follows by
one power iteration; so two passes see two estimates. A convolution is linear in its weight: both
passes can run as one batch, if each half's input is divided by its own estimate. That is exact.

The iterations are made before the passes, and the vectors handed to them: pieces of one batch share
them, so that the pieces' gradients add up to the whole batch's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

if TYPE_CHECKING:
    from torch.nn.utils.parametrizations import _SpectralNorm

# Of one layer, for each pass to come: the left and the right singular vector.
Vectors = list[tuple[Tensor, Tensor]]


def is_spectral(conv: nn.Module) -> bool:
    """Tell whether a convolution's weight is divided by its spectral norm."""
    return parametrize.is_parametrized(conv, "weight") and hasattr(_norm(conv), "_power_method")


@torch.no_grad()
def iterate(conv: nn.Module, passes: int) -> Vectors:
    """Follow the singular vectors by one power iteration for each of the passes to come.

    In evaluation mode the vectors stay what they are, as spectral norm itself has it.
    """
    norm, matrix = _norm(conv), original(conv).flatten(1)
    vectors = []
    for _ in range(passes):
        if norm.training:
            norm._power_method(matrix, norm.n_power_iterations)
        vectors.append((norm._u.clone(), norm._v.clone()))
    return vectors


def original(conv: nn.Module) -> Tensor:
    """Return the trained weight itself, not divided."""
    weight: Tensor = conv.parametrizations.weight.original  # type: ignore[union-attr,assignment]
    return weight


def singular_value(weight: Tensor, vectors: tuple[Tensor, Tensor]) -> Tensor:
    """Estimate the largest singular value as u W v, which gradients reach the weight through."""
    left, right = vectors
    with torch.autocast(weight.device.type, enabled=False):
        return torch.vdot(left, torch.mv(weight.flatten(1), right))


def _norm(conv: nn.Module) -> _SpectralNorm:
    norm: _SpectralNorm = conv.parametrizations.weight[0]  # type: ignore[index,union-attr,assignment]
    return norm
