"""JSON and YAML of bounded size: values only, by loaders that make no objects."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import yaml

from hifigan_cli.errors import ModelError
from hifigan_cli.io.files import is_file

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 4 << 20
_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*')  # the first group keeps strings as they are


class _Values(yaml.SafeLoader):
    """Reads a tagged value (`!new:some.Class`, `!ref <x>`) as the value alone."""


def _untagged(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return str(node.value)


_Values.add_multi_constructor("!", _untagged)


def read_document(path: Path) -> dict[str, Any]:
    """Read a JSON (comments allowed) or YAML file that holds a mapping.

    Raises:
        ModelError: missing, too large, or not a mapping.
    """
    check_config_exists(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ModelError(f"{path} is too large for a configuration")
        return parse_document(path.read_bytes(), path.suffix.lower(), str(path))
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error


def parse_document(text: bytes, suffix: str, label: str) -> dict[str, Any]:
    """Parse the bytes of a JSON or YAML document.

    Raises:
        ModelError: they are none, or no mapping.
    """
    try:
        if suffix == ".json":
            content = json.loads(_COMMENT.sub(r"\1", text.decode("utf-8")))
        else:
            content = yaml.load(text, _Values)  # noqa: S506 - a SafeLoader
    except (ValueError, yaml.YAMLError, RecursionError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{label} does not describe a generator: {reason}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{label} does not describe a generator: it is no mapping")
    return content


def check_config_exists(path: Path) -> None:
    """Check that there is a configuration to read.

    Raises:
        ModelError: there is none; strides and dilations cannot be read from weights.
    """
    if not is_file(path):
        raise ModelError(
            f"no configuration at {path}",
            "--config names the one that belongs to the checkpoint; weights alone do not tell "
            "strides",
        )
