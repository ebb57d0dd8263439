"""Named tensors and a description in one safetensors file, checked by a digest.

safetensors files cannot run code, but a flipped bit in one goes unnoticed. So the description has a
SHA-256 of everything: itself, and each tensor's name, type, shape and bytes. The bytes of a file
become numpy arrays for synthesis, which does not need torch, or torch tensors for training.
"""

from __future__ import annotations

import hashlib
import json
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from hifigan_cli.config.files import with_current_names
from hifigan_cli.errors import InputError, ModelError, OutputError
from hifigan_cli.io.files import atomic_replace, open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor

    from hifigan_cli.types import AnyArray

FORMAT = 2
_READABLE = (1, 2)  # format 1 had other names for some keys of the configuration
_KEY = "hifigan"  # one metadata entry, so that the file's bytes do not depend on map order
# safetensors' names of types, and those that numpy and torch share.
_PREFIXES = {"F": "float", "BF": "bfloat", "I": "int", "U": "uint"}
_TYPES = {
    f"{prefix}{bits}": f"{name}{bits}"
    for prefix, name in _PREFIXES.items()
    for bits in (8, 16, 32, 64)
} | {"BOOL": "bool"}


class StoredTensor(NamedTuple):
    """A tensor as it is stored in a file: its type by name, its shape, its bytes."""

    dtype: str
    shape: tuple[int, ...]
    content: npt.NDArray[np.uint8]


def write_tensors(path: Path, tensors: Mapping[str, Tensor], description: dict[str, Any]) -> str:
    """Write torch tensors and a JSON-able description atomically; return the digest.

    Raises:
        OutputError: the file cannot be written.
    """
    import safetensors.torch

    ready = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    stored = {name: _stored_tensor(value) for name, value in ready.items()}
    return _write(path, stored, description, partial(safetensors.torch.save_file, ready))


def write_arrays(path: Path, arrays: Mapping[str, AnyArray], description: dict[str, Any]) -> str:
    """Write numpy arrays and a JSON-able description atomically; return the digest.

    Raises:
        OutputError: the file cannot be written.
    """
    import safetensors.numpy

    # ascontiguousarray would give a scalar a dimension.
    ready = {name: np.array(value, order="C") for name, value in arrays.items()}
    stored = {
        name: StoredTensor(value.dtype.name, value.shape, value.reshape(-1).view(np.uint8))
        for name, value in ready.items()
    }
    return _write(path, stored, description, partial(safetensors.numpy.save_file, ready))


def _write(
    path: Path,
    stored: Mapping[str, StoredTensor],
    description: dict[str, Any],
    save: Callable[[Path, dict[str, str]], None],
) -> str:
    content = {"format": FORMAT, **description}
    content["digest"] = _digest(stored, content)
    with atomic_replace(path) as temporary:
        mode = temporary.stat().st_mode
        try:
            save(temporary, {_KEY: json.dumps(content, sort_keys=True)})
        except SafetensorError as error:  # for example, the disk is full
            raise OutputError(f"cannot write {path}: {error}") from error
        temporary.chmod(mode)  # safetensors creates files that only their owner may read
    return str(content["digest"])


def read_description(path: Path) -> dict[str, Any]:
    """Read the description only; the digest is not checked.

    Raises:
        ModelError: not a safetensors file, or not one of this tool.
    """
    return _current(_raw_description(path))


def _current(content: dict[str, Any]) -> dict[str, Any]:
    return dict(with_current_names(content))


def _raw_description(path: Path) -> dict[str, Any]:
    check_readable(path)
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path} is not a model file of hifigan",
            "convert PyTorch checkpoints with `hifigan import`",
        ) from error
    try:
        content = dict(json.loads(metadata[_KEY]))
        version = content["format"]
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path} is a safetensors file without hifigan's description of it",
            "convert its source with `hifigan import`",
        ) from error
    if version not in _READABLE:
        raise ModelError(
            f"{path} has format {version}, this version reads format {FORMAT}",
            "upgrade hifigan-cli",
        )
    return content


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read torch tensors and description, and check the digest.

    Raises:
        ModelError: unreadable, truncated, or changed since it was written.
    """
    import torch

    def tensor(item: StoredTensor) -> Tensor:
        return torch.from_numpy(item.content).view(getattr(torch, item.dtype)).reshape(item.shape)

    stored, content = _read(path)
    return {name: tensor(item) for name, item in stored.items()}, content


def read_arrays(path: Path) -> tuple[dict[str, AnyArray], dict[str, Any]]:
    """Read numpy arrays and description, and check the digest; bfloat16 becomes float32.

    Raises:
        ModelError: unreadable, truncated, or changed since it was written.
    """
    stored, content = _read(path)
    return {name: _array(item) for name, item in stored.items()}, content


def _read(path: Path) -> tuple[dict[str, StoredTensor], dict[str, Any]]:
    # The library has checked that the header is sound and covers the file, before we follow it.
    content = _raw_description(path)
    try:
        with open_regular(path) as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
            body = np.fromfile(stream, np.uint8)
        header.pop("__metadata__")
        stored = {
            name: StoredTensor(
                _TYPES[entry["dtype"]], tuple(entry["shape"]), body[slice(*entry["data_offsets"])]
            )
            for name, entry in header.items()
        }
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{path} is damaged: {error}") from error
    expected = content.pop("digest", None)
    if _digest(stored, content) != expected:
        raise ModelError(
            f"{path} is damaged: its content does not match its digest",
            "download or train the model again; training continues from the previous checkpoint",
        )
    content["digest"] = expected
    return stored, _current(content)


def arrays_of(state: Mapping[str, Tensor]) -> dict[str, AnyArray]:
    """Return copies of the tensors of a torch state as arrays; bfloat16 becomes float32."""
    ready = {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}
    return {name: _array(_stored_tensor(value)) for name, value in ready.items()}


def tensors_of(arrays: Mapping[str, AnyArray]) -> dict[str, Tensor]:
    """Return copies of arrays as torch tensors."""
    import torch

    return {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}


def _array(item: StoredTensor) -> AnyArray:
    if item.dtype == "bfloat16":  # the upper half of a float32
        wide = item.content.view(np.uint16).astype(np.uint32) << np.uint32(16)
        return wide.view(np.float32).reshape(item.shape)
    return item.content.view(item.dtype).reshape(item.shape)


def _stored_tensor(value: Tensor) -> StoredTensor:
    import torch

    content = value.reshape(-1).view(torch.uint8).numpy()
    return StoredTensor(str(value.dtype).removeprefix("torch."), tuple(value.shape), content)


def _digest(stored: Mapping[str, StoredTensor], description: Mapping[str, Any]) -> str:
    """Compute the SHA-256 of tensors and description, in hexadecimal."""
    digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for name in sorted(stored):
        item = stored[name]
        digest.update(f"{name} torch.{item.dtype} {item.shape}".encode())
        digest.update(item.content.data)
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
