"""Rename the weights of other tools to the official names.

A weight that no rule matches raises a `ModelError` with its name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch

from hifigan_cli.errors import ModelError
from hifigan_cli.importers.settings import join_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from hifigan_cli.importers.checkpoint import StateDict

    Rule = tuple[str, str | Callable[[re.Match[str]], str]]

# Parameters of weight norm, in torch's old form and as parametrizations.
_PARAMETERS = {
    "weight": "weight",
    "bias": "bias",
    "weight_g": "parametrizations.weight.original0",
    "weight_v": "parametrizations.weight.original1",
    "parametrizations.weight.original0": "parametrizations.weight.original0",
    "parametrizations.weight.original1": "parametrizations.weight.original1",
}
_KEY = re.compile(rf"(.+?)\.({'|'.join(map(re.escape, sorted(_PARAMETERS, reverse=True)))})")
OFFICIAL_RULES: tuple[Rule, ...] = (
    (r"(conv_pre|conv_post|ups\.\d+|resblocks\.\d+\.convs[12]?\.\d+)", r"\1"),
)


def has_layer(state: object, *prefixes: str) -> bool:
    """Return whether this is a state dict with a layer name that starts with a prefix."""
    names = map(str, state) if isinstance(state, dict) else ()
    return any(name.removeprefix("module.").startswith(prefixes) for name in names)


def select_tensors(state: object, prefix: str = "") -> StateDict:
    """Return the tensors whose names start with a prefix, without the prefix.

    The `module.` that DataParallel adds to every name is removed first.
    """
    if not isinstance(state, dict):
        raise ModelError("the checkpoint's generator is not a mapping of names to tensors")
    selected: StateDict = {}
    for key, value in state.items():
        name = str(key).removeprefix("module.")
        if isinstance(value, torch.Tensor) and name.startswith(prefix):
            selected[name.removeprefix(prefix).removeprefix("module.")] = value
    if not selected:
        raise ModelError(f"the checkpoint has no weights {prefix}*".rstrip("* "))
    return selected


def rename_weights(
    state: Mapping[str, Tensor], rules: Sequence[Rule] = OFFICIAL_RULES
) -> StateDict:
    """Rename every weight to its official name; the first rule that matches its layer applies."""
    renamed: StateDict = {}
    unknown = []
    for key, value in state.items():
        name = _official_name(key, rules)
        if name is None:
            unknown.append(key)
        else:
            renamed[name] = value.to(torch.float32)
    if unknown:
        raise ModelError(f"the checkpoint has unknown weights: {join_names(unknown)}")
    return renamed


def _official_name(key: str, rules: Sequence[Rule]) -> str | None:
    if parts := _KEY.fullmatch(key):
        for pattern, replacement in rules:
            layer, count = re.subn(rf"\A(?:{pattern})\Z", replacement, parts[1])
            if count:
                return f"{layer}.{_PARAMETERS[parts[2]]}"
    return None


def nested_block_rules(kernels: int) -> tuple[Rule, ...]:
    """Return rules for residual blocks that are numbered by stage and kernel."""

    def flatten(match: re.Match[str]) -> str:
        return f"resblocks.{int(match[1]) * kernels + int(match[2])}.{match[3]}"

    return ((r"resblocks\.(\d+)\.(\d+)\.(convs[12]?\.\d+)", flatten), *OFFICIAL_RULES)


def add_zero_biases(state: StateDict) -> StateDict:
    """Add zero biases to the layers that were trained without biases."""
    complete = dict(state)
    for key, value in state.items():
        layer = re.sub(r"\.(weight|parametrizations\.weight\.original1)$", "", key)
        if layer != key and f"{layer}.bias" not in state:
            channels = value.shape[1 if layer.startswith("ups.") else 0]
            complete[f"{layer}.bias"] = torch.zeros(channels)
    return complete


def input_normalization(mean: object, scale: object, where: object) -> dict[str, tuple[float, ...]]:
    """Return the mean and scale with which a variant normalizes its mel; arrays have any shape."""
    rows = {}
    for name, values in (("mean", mean), ("scale", scale)):
        if not isinstance(values, torch.Tensor):
            raise ModelError(f"{where} has no array {name} for the mel")
        rows[f"input_{name}"] = tuple(values.to(torch.float32).reshape(-1).tolist())
    return rows
