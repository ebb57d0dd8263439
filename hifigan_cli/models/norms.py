"""Weight norm, w = g v / |v|: training uses it, synthesis folds it away."""

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
    """Reparametrize every convolution of `net` in place; its function does not change."""
    for module in net.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d):
            weight_norm(module)
    return net


def folded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a weight-normed generator's state with g v / |v| in place of g and v.

    The norm runs over every dimension but the first, for transposed convolutions too.
    """
    plain = {}
    for key, value in state.items():
        if key.endswith(_V):
            stem = key.removesuffix(_V)
            plain[f"{stem}.weight"] = torch._weight_norm(value, state[stem + _G], 0)
        elif not key.endswith(_G):
            plain[key] = value
    return plain


def load_folded(net: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a weight-normed `net` the function of folded weights: g = |w|, v = w."""
    normed, own = {}, net.state_dict()
    for key, value in state.items():
        stem = key.removesuffix(".weight")
        if key.endswith(".weight") and stem + _V in own:
            normed[stem + _G] = gain = torch.norm_except_dim(value, 2, 0)
            # A filter of zeros has no direction; any will do, since its gain is 0.
            normed[stem + _V] = torch.where(gain > 0, value, 1.0)
        else:
            normed[key] = value
    net.load_state_dict(normed)
