"""Named tensors and a description in one safetensors file, sealed by a digest.

safetensors files cannot run code, but a flipped bit in one goes unnoticed. So the description holds
a SHA-256 of everything: itself, and each tensor's name, type, shape and bytes.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from hifigan_cli.audio.files import open_regular, replacing
from hifigan_cli.errors import InputError, ModelError, OutputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

FORMAT = 1
_KEY = "hifigan"  # one metadata entry, so that the file's bytes do not depend on map order


def write_tensors(path: Path, tensors: Mapping[str, Tensor], description: dict[str, Any]) -> str:
    """Write tensors and a JSON-able description atomically; return the digest.

    Raises:
        OutputError: the file system refused.
    """
    ready = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    content = {"format": FORMAT, **description}
    content["digest"] = digest_of(ready, content)
    with replacing(path) as temporary:
        try:
            metadata = {_KEY: json.dumps(content, sort_keys=True)}
            temporary.touch()
            mode = temporary.stat().st_mode
            safetensors.torch.save_file(ready, temporary, metadata)
            temporary.chmod(mode)  # safetensors makes files that only their owner may read
        except SafetensorError as error:  # a full disk, for one
            raise OutputError(f"cannot write {path}: {error}") from error
    return str(content["digest"])


def read_description(path: Path) -> dict[str, Any]:
    """Read the description alone; the digest is not checked.

    Raises:
        ModelError: not a safetensors file, or not one of this tool.
    """
    check_readable(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path} is not a model file: {error}",
            "a PyTorch checkpoint becomes one by `hifigan import`",
        ) from error
    try:
        content = json.loads(metadata[_KEY])
        version = content["format"]
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path} is a safetensors file without hifigan's description of it",
            "convert its source with `hifigan import`",
        ) from error
    if version != FORMAT:
        raise ModelError(
            f"{path} has format {version}, this version reads format {FORMAT}",
            "upgrade hifigan-cli",
        )
    return dict(content)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and description, and check the digest.

    Raises:
        ModelError: unreadable, truncated, or changed since it was written.
    """
    content = read_description(path)
    try:
        tensors = safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is damaged: {error}") from error
    expected = content.pop("digest", None)
    if digest_of(tensors, content) != expected:
        raise ModelError(
            f"{path} is damaged: its content does not match its digest",
            "fetch or train it again; a run falls back to its previous checkpoint",
        )
    content["digest"] = expected
    return tensors, content


def digest_of(tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> str:
    """Compute the SHA-256 that seals tensors and description, in hexadecimal."""
    digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def check_readable(path: Path) -> None:
    """Check that a model file is a regular, readable, non-empty file.

    Raises:
        ModelError: it is not.
    """
    try:
        open_regular(path).close()
    except InputError as error:
        raise ModelError(error.message, error.hint) from error
