"""Settings of other tools -> ours.

What is missing, unknown or unusual raises a `ModelError` that names it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from hifigan_cli.config import GeneratorConfig, MelConfig, MelConvention, Variant, VocoderConfig
from hifigan_cli.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

# Ours -> theirs. The official names are ours; what is not listed belongs to their training.
GENERATOR = {name: name for name in GeneratorConfig.model_fields if name != "variant"}
_MEL_FIELDS = ("sample_rate", "n_fft", "hop_length", "win_length", "n_mels", "fmin", "fmax")
_NAMED = 5  # names in an error; more say nothing more


def mel_fields(theirs: str) -> dict[str, str]:
    """Return ours -> theirs for the sizes of a mel: `theirs` in our order, - for one without."""
    names = zip(_MEL_FIELDS, theirs.split(), strict=True)
    return {ours: name for ours, name in names if name != "-"}


def section(content: Mapping[str, Any], *names: str, where: object) -> dict[str, Any]:
    """Return a mapping within a configuration."""
    found: Any = content
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise ModelError(f"{where} has no {'.'.join(names)}")
    return found


def fixed(content: Mapping[str, Any], where: object, **values: object) -> None:
    """Check that settings have the only values that a model file can describe."""
    for name, value in values.items():
        if content.get(name, value) != value:
            raise ModelError(
                f"{where}: {name} is {content[name]!r}, and only {value!r} can be imported"
            )


def pick(
    content: Mapping[str, Any],
    names: Mapping[str, str],
    where: object,
    others: Collection[str] | None = None,
) -> dict[str, Any]:
    """Return our fields out of a configuration; `names` is ours -> theirs.

    With `others`, there must be no more settings than these: one could change the network.
    """
    known = content.keys() if others is None else {*names.values(), *others}
    unknown = sorted(str(key) for key in content if key not in known)
    if unknown:
        raise ModelError(f"{where} has settings that are not understood: {listed(unknown)}")
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
    """Make a checked configuration of what a checkpoint says."""
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


def listed(names: Sequence[str]) -> str:
    """Name the first few of many names, and count the rest."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
