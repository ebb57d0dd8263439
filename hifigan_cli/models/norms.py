"""Weight norm, w = g v / |v|: add it for training, fold it for inference."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

if TYPE_CHECKING:
    from collections.abc import Mapping

Net = TypeVar("Net", bound=nn.Module)

_G, _V = ".parametrizations.weight.original0", ".parametrizations.weight.original1"


def add_weight_norm(net: Net) -> Net:
    """Add weight norm to every convolution of `net` in place; its output does not change."""
    for module in net.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d):
            weight_norm(module)
    return net


def fold_weight_norm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Replace g and v by the weight g v / |v| in the state of a generator with weight norm.

    The norm is over all dimensions but the first, also for transposed convolutions.
    """
    folded = {}
    for key, value in state.items():
        if key.endswith(_V):
            stem = key.removesuffix(_V)
            folded[f"{stem}.weight"] = torch._weight_norm(value, state[stem + _G], 0)
        elif not key.endswith(_G):
            folded[key] = value
    return folded


def load_folded_weights(net: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load folded weights into a `net` with weight norm: g = |w|, v = w."""
    normed, keys = {}, net.state_dict().keys()
    for key, value in state.items():
        stem = key.removesuffix(".weight")
        if key.endswith(".weight") and stem + _V in keys:
            normed[stem + _G] = gain = torch.norm_except_dim(value, 2, 0)
            # A filter of zeros has no direction, but any direction works with a gain of 0.
            normed[stem + _V] = torch.where(gain > 0, value, 1.0)
        else:
            normed[key] = value
    net.load_state_dict(normed)
