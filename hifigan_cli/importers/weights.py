"""Weights of other tools -> the official names.

What does not fit, such as a weight that no rule knows, raises a `ModelError` that names it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch

from hifigan_cli.errors import ModelError
from hifigan_cli.importers.settings import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from hifigan_cli.importers.checkpoint import State

    Rule = tuple[str, str | Callable[[re.Match[str]], str]]

# Weight norm, before and after torch's parametrizations.
_ENDINGS = {
    "weight": "weight",
    "bias": "bias",
    "weight_g": "parametrizations.weight.original0",
    "weight_v": "parametrizations.weight.original1",
    "parametrizations.weight.original0": "parametrizations.weight.original0",
    "parametrizations.weight.original1": "parametrizations.weight.original1",
}
_KEY = re.compile(rf"(.+?)\.({'|'.join(map(re.escape, sorted(_ENDINGS, reverse=True)))})")
OFFICIAL: tuple[Rule, ...] = (
    (r"(conv_pre|conv_post|ups\.\d+|resblocks\.\d+\.convs[12]?\.\d+)", r"\1"),
)


def has_layer(state: object, *starts: str) -> bool:
    """Tell a state in which a layer's name begins with one of these."""
    names = map(str, state) if isinstance(state, dict) else ()
    return any(name.removeprefix("module.").startswith(starts) for name in names)


def tensors(state: object, prefix: str = "") -> State:
    """Take the tensors of a state whose names begin with a prefix, without it.

    What DataParallel puts in front of every name is taken away first.
    """
    if not isinstance(state, dict):
        raise ModelError("the checkpoint's generator is not a state of named tensors")
    chosen: State = {}
    for key, value in state.items():
        name = str(key).removeprefix("module.")
        if isinstance(value, torch.Tensor) and name.startswith(prefix):
            chosen[name.removeprefix(prefix).removeprefix("module.")] = value
    if not chosen:
        raise ModelError(f"the checkpoint has no weights {prefix}*".rstrip("* "))
    return chosen


def rename(state: Mapping[str, Tensor], rules: Sequence[Rule] = OFFICIAL) -> State:
    """Give every weight its official name; rules are tried in order, on the name of its layer."""
    renamed: State = {}
    unknown = []
    for key, value in state.items():
        name = _official(key, rules)
        if name is None:
            unknown.append(key)
        else:
            renamed[name] = value.to(torch.float32)
    if unknown:
        raise ModelError(f"the checkpoint has weights of no HiFi-GAN generator: {listed(unknown)}")
    return renamed


def _official(key: str, rules: Sequence[Rule]) -> str | None:
    if parts := _KEY.fullmatch(key):
        for pattern, replacement in rules:
            layer, found = re.subn(rf"\A(?:{pattern})\Z", replacement, parts[1])
            if found:
                return f"{layer}.{_ENDINGS[parts[2]]}"
    return None


def nested(kernels: int) -> tuple[Rule, ...]:
    """Return rules for residual blocks that are numbered by stage and kernel."""

    def flat(found: re.Match[str]) -> str:
        return f"resblocks.{int(found[1]) * kernels + int(found[2])}.{found[3]}"

    return ((r"resblocks\.(\d+)\.(\d+)\.(convs[12]?\.\d+)", flat), *OFFICIAL)


def with_biases(state: State) -> State:
    """Add biases of zero to the layers that were trained without."""
    whole = dict(state)
    for key, value in state.items():
        layer = re.sub(r"\.(weight|parametrizations\.weight\.original1)$", "", key)
        if layer != key and f"{layer}.bias" not in state:
            channels = value.shape[1 if layer.startswith("ups.") else 0]
            whole[f"{layer}.bias"] = torch.zeros(channels)
    return whole


def scaling(mean: object, scale: object, where: object) -> dict[str, tuple[float, ...]]:
    """Return what a variant subtracts from a mel, and divides it by, of arrays of any shape."""
    rows = {}
    for name, values in (("mean", mean), ("scale", scale)):
        if not isinstance(values, torch.Tensor):
            raise ModelError(f"the {name} of the mel in {where} is not there, or no array")
        rows[f"input_{name}"] = tuple(values.to(torch.float32).reshape(-1).tolist())
    return rows
