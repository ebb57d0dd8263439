"""Merge the configuration from five layers, and record where each value came from.

A later layer wins: defaults, preset, `--config` file, HIFIGAN_* variables, options (`--set` and
named options). Keys are `section.key` or only `key`, because no two sections share a key.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from hifigan_cli.config.files import EARLIER_NAMES, read_config_file
from hifigan_cli.config.presets import preset as named_preset
from hifigan_cli.config.schema import Config
from hifigan_cli.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

Checked = TypeVar("Checked", bound=BaseModel)
Layer = tuple[str, object, str]  # key, value, where it came from


@dataclass(frozen=True)
class ResolvedConfig:
    """A valid configuration, the layer that set each `section.key`, and the name of the preset."""

    config: Config
    sources: dict[str, str]
    preset: str = "v1"


def resolve(
    preset: str | None = None,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    sets: Sequence[str] = (),
    options: Mapping[str, object] | None = None,
) -> ResolvedConfig:
    """Merge the layers into one valid configuration.

    `sets` are `KEY=VALUE` strings with TOML values; `options` maps keys to values, None for an
    option that is not used. A config file may name its preset at the top: `preset = "v2"`.

    Raises:
        UsageError: an unknown key or preset, a wrong type, or sizes that do not fit together.
    """
    content = read_config_file(file) if file else {}
    file_preset = content.pop("preset", None)
    chosen = str(preset or file_preset or "v1")
    base = named_preset(chosen).model_dump()
    defaults = _flatten(Config().model_dump())
    sources = {
        key: f"preset {chosen}" if value != defaults[key] else "default"
        for key, value in _flatten(base).items()
    }
    layers = [(key, value, str(file)) for key, value in _flatten(content).items()]
    for variable, text in sorted((environment or {}).items()):
        key = variable.removeprefix("HIFIGAN_").lower()
        # HIFIGAN_PRECISION belongs to the synthesis commands.
        if variable.startswith("HIFIGAN_") and key in KEYS and key != "precision":
            layers.append((key, _toml_value(text), variable))
    layers += _set_and_options(sets, options)
    return ResolvedConfig(_merged(Config, base, layers, KEYS, sources), sources, chosen)


def with_overrides(config: Config, sets: Sequence[str]) -> Config:
    """Change values of a configuration with `KEY=VALUE` strings.

    Raises:
        UsageError: an unknown key, a wrong type, or sizes that do not fit together.
    """
    return _merged(Config, config.model_dump(), _set_and_options(sets), KEYS, {})


def resolve_sections(
    model: type[Checked],
    file: Path | None = None,
    sets: Sequence[str] = (),
    options: Mapping[str, object] | None = None,
) -> Checked:
    """Merge defaults, a config file, `--set` strings and options into a pydantic model of sections.

    Keys are `section.key` or only `key`, as in `resolve`.

    Raises:
        UsageError: an unknown key, a wrong type, or sizes that do not fit together.
    """
    content = read_config_file(file) if file else {}
    layers = [(key, value, str(file)) for key, value in _flatten(content).items()]
    layers += _set_and_options(sets, options)
    values: dict[str, dict[str, Any]] = {section: {} for section in model.model_fields}
    return _merged(model, values, layers, _keys(model()), {})


def _set_and_options(
    sets: Sequence[str], options: Mapping[str, object] | None = None
) -> list[Layer]:
    """Return the layers of the `KEY=VALUE` strings, then of the options."""
    layers: list[Layer] = []
    for item in sets:
        key, equals, text = item.partition("=")
        if not equals:
            raise UsageError(f"--set {item!r} has no value", "use --set KEY=VALUE")
        layers.append((key.strip(), _toml_value(text.strip()), "--set"))
    used = {key: value for key, value in (options or {}).items() if value is not None}
    return layers + [(key, value, f"--{key.replace('_', '-')}") for key, value in used.items()]


def _merged(
    model: type[Checked],
    values: dict[str, dict[str, Any]],
    layers: Iterable[Layer],
    keys: Mapping[str, str],
    sources: dict[str, str],
) -> Checked:
    """Write the layers into `values` and their names into `sources`, then validate.

    Raises:
        UsageError: the message names the first invalid value, its layer, and the reason.
    """
    for key, value, source in layers:
        full = _full_key(key, source, keys)
        section, _, name = full.partition(".")
        values[section][name] = value
        sources[full] = source
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"][:2])
        where = f" (from {sources[place]})" if place in sources else ""
        reason = first["msg"].removeprefix("Value error, ")
        got = f", got {first['input']!r}" if len(first["loc"]) > 1 else ""
        message = f"configuration: {place + ': ' if place else ''}{reason}{got}{where}"
        hint = (
            did_you_mean(place.rpartition(".")[2], keys)
            if first["type"] == "extra_forbidden"
            else ""
        )
        raise UsageError(
            message, hint or "list all values with `hifigan info --resolved`"
        ) from error


def _full_key(key: str, source: str, keys: Mapping[str, str]) -> str:
    if key in keys.values():
        return key
    if key in keys:
        return keys[key]
    known = [*keys, *keys.values()]
    if key in EARLIER_NAMES:
        raise UsageError(f"{key!r} (from {source}) was renamed", f"use {EARLIER_NAMES[key]}")
    hint = did_you_mean(key, known) or "list all keys with `hifigan info --resolved`"
    raise UsageError(f"unknown configuration key {key!r} (from {source})", hint)


def _toml_value(text: str) -> object:
    # Unquoted words (bf16, a path) are not TOML values; they are strings.
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _keys(config: BaseModel) -> dict[str, str]:
    return {key.partition(".")[2]: key for key in _flatten(config.model_dump())}


# The defaults omit `convention` and `variant`, which only imported models have.
KEYS = _keys(Config())
