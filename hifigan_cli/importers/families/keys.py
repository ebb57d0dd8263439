"""States and configurations by name: renamed, chosen from, and checked, so that nothing is lost.

A weight that no rule knows, or a setting that could change the network, is an error that names it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch
from pydantic import ValidationError

from hifigan_cli.config import GeneratorConfig, MelConfig, MelConvention, Variant, VocoderConfig
from hifigan_cli.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from hifigan_cli.importers.families.base import State

    Rule = tuple[str, str | Callable[[re.Match[str]], str]]

_NAMED = 5  # keys in an error; more say nothing more
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


def tensors(state: object, prefix: str = "") -> State:
    """Take the tensors of a state whose names begin with a prefix, without it.

    What DataParallel puts in front of every name is taken away first.

    Raises:
        ModelError: not a state, or nothing begins so.
    """
    if not isinstance(state, dict):
        raise ModelError("the checkpoint's generator is not a state of named tensors")
    found = {
        str(key).removeprefix("module."): value
        for key, value in state.items()
        if isinstance(value, torch.Tensor)
    }
    chosen = {
        key.removeprefix(prefix).removeprefix("module."): value
        for key, value in found.items()
        if key.startswith(prefix)
    }
    if not chosen:
        raise ModelError(f"the checkpoint has no weights {prefix}*".rstrip("* "))
    return chosen


def rename(state: Mapping[str, Tensor], rules: Sequence[Rule] = OFFICIAL) -> State:
    """Give every weight its official name; rules are tried in order, on the name of its layer.

    Raises:
        ModelError: names the weights that no rule knows.
    """
    renamed: State = {}
    unknown = []
    for key, value in state.items():
        name = _official(key, rules)
        if name is None:
            unknown.append(key)
        else:
            renamed[name] = value.to(torch.float32)
    if unknown:
        raise ModelError(f"the checkpoint has weights of no HiFi-GAN generator: {_list(unknown)}")
    return renamed


def _official(key: str, rules: Sequence[Rule]) -> str | None:
    parts = _KEY.fullmatch(key)
    if parts is None:
        return None
    for pattern, replacement in rules:
        found = re.fullmatch(pattern, parts[1])
        if found is None:
            continue
        if isinstance(replacement, str):
            return f"{found.expand(replacement)}.{_ENDINGS[parts[2]]}"
        return f"{replacement(found)}.{_ENDINGS[parts[2]]}"
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


def section(content: Mapping[str, Any], *names: str, where: object) -> dict[str, Any]:
    """Return a mapping within a configuration.

    Raises:
        ModelError: it is not there.
    """
    found: Any = content
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise ModelError(f"{where} has no {'.'.join(names)}")
    return found


def only(content: Mapping[str, Any], known: Sequence[str], where: object) -> None:
    """Check that settings of a network are all known.

    Raises:
        ModelError: names those that are not, since they may change the network.
    """
    unknown = sorted(str(key) for key in content if key not in known)
    if unknown:
        raise ModelError(f"{where} has settings that are not understood: {_list(unknown)}")


def fixed(content: Mapping[str, Any], where: object, **values: object) -> None:
    """Check that settings have the only values that a model file can describe.

    Raises:
        ModelError: names the first that has another.
    """
    for name, value in values.items():
        if content.get(name, value) != value:
            raise ModelError(
                f"{where}: {name} is {content[name]!r}, and only {value!r} can be imported"
            )


def pick(content: Mapping[str, Any], names: Mapping[str, str], where: object) -> dict[str, Any]:
    """Return our fields out of a configuration; `names` is ours -> theirs.

    Raises:
        ModelError: names all that are missing.
    """
    missing = [theirs for theirs in names.values() if theirs not in content]
    if missing:
        raise ModelError(f"{where} does not give {', '.join(missing)}")
    return {ours: content[theirs] for ours, theirs in names.items()}


def vocoder(
    where: object,
    mel: Mapping[str, Any],
    generator: Mapping[str, Any],
    convention: Mapping[str, Any] | None = None,
    variant: Mapping[str, Any] | None = None,
) -> VocoderConfig:
    """Make a checked configuration of what a checkpoint says.

    Raises:
        ModelError: values of wrong types, or that do not fit together.
    """
    try:
        return VocoderConfig(
            mel=MelConfig(**mel, convention=MelConvention(**(convention or {}))),
            generator=GeneratorConfig(**generator, variant=Variant(**(variant or {}))),
        )
    except (ValidationError, TypeError) as error:
        reason: object = error
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            reason = f"{'.'.join(map(str, first['loc']))} {first['msg']}".strip()
        raise ModelError(f"{where} does not describe a generator: {reason}") from error


def numbers(values: object, where: str) -> tuple[float, ...]:
    """Return a tensor of any shape as a row of numbers.

    Raises:
        ModelError: it is no tensor.
    """
    if not isinstance(values, torch.Tensor):
        raise ModelError(f"{where} is not there, or no array")
    return tuple(values.to(torch.float32).reshape(-1).tolist())


def _list(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
