"""Map the settings of other tools to the configuration of this package.

A setting that is missing, unknown or unsupported raises a `ModelError` with its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from hifigan_cli.config import (
    GeneratorConfig,
    GeneratorVariant,
    MelConfig,
    MelConvention,
    VocoderConfig,
)
from hifigan_cli.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

# Maps our generator fields to another tool's names; by default they are equal.
GENERATOR_FIELDS = {name: name for name in GeneratorConfig.model_fields if name != "variant"}
_MEL_FIELDS = ("sample_rate", "n_fft", "hop_length", "win_length", "n_mels", "fmin", "fmax")
_MAX_NAMES = 5  # an error message lists at most this many


def mel_fields(foreign_names: str) -> dict[str, str]:
    """Map mel fields to foreign names, listed in the order of `_MEL_FIELDS`; `-` omits a field."""
    names = zip(_MEL_FIELDS, foreign_names.split(), strict=True)
    return {field: name for field, name in names if name != "-"}


def get_section(content: Mapping[str, Any], *names: str, where: object) -> dict[str, Any]:
    """Return a nested mapping of a configuration."""
    section: Any = content
    for name in names:
        section = section.get(name) if isinstance(section, dict) else None
    if not isinstance(section, dict):
        raise ModelError(f"{where} has no {'.'.join(names)}")
    return section


def require_values(content: Mapping[str, Any], where: object, **values: object) -> None:
    """Check that settings, where present, have the only values that can be imported."""
    for name, value in values.items():
        if content.get(name, value) != value:
            raise ModelError(
                f"{where}: {name} is {content[name]!r}, but only {value!r} can be imported"
            )


def map_fields(
    content: Mapping[str, Any],
    names: Mapping[str, str],
    where: object,
    other_settings: Collection[str] | None = None,
) -> dict[str, Any]:
    """Return a configuration's values under our field names; `names` maps ours to foreign names.

    With `other_settings`, any further setting is an error, because it could change the network.
    """
    known = content.keys() if other_settings is None else {*names.values(), *other_settings}
    unknown = sorted(str(key) for key in content if key not in known)
    if unknown:
        raise ModelError(f"{where} has unknown settings: {join_names(unknown)}")
    missing = [name for name in names.values() if name not in content]
    if missing:
        raise ModelError(f"{where} lacks {', '.join(missing)}")
    return {field: content[name] for field, name in names.items()}


def build_config(
    where: object,
    mel: Mapping[str, Any],
    generator: Mapping[str, Any],
    convention: Mapping[str, Any] | None = None,
    variant: Mapping[str, Any] | None = None,
) -> VocoderConfig:
    """Build and validate a configuration from the settings of a checkpoint."""
    try:
        return VocoderConfig(
            mel=MelConfig(**mel, convention=MelConvention(**(convention or {}))),
            generator=GeneratorConfig(**generator, variant=GeneratorVariant(**(variant or {}))),
        )
    except (ValidationError, TypeError) as error:
        reason: object = error
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            reason = f"{'.'.join(map(str, first['loc']))} {first['msg']}".strip()
        raise ModelError(f"{where} does not describe a generator: {reason}") from error


def join_names(names: Sequence[str]) -> str:
    """Join the first few names, and count the rest."""
    more = len(names) - _MAX_NAMES
    return ", ".join(names[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
