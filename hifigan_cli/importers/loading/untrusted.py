"""Checkpoints and statistics that nobody vouches for -> tensors and plain values."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from hifigan_cli.errors import ModelError
from hifigan_cli.io.tensor_file import check_readable
from hifigan_cli.io.untrusted.reader import read_untrusted

if TYPE_CHECKING:
    from pathlib import Path

_HDF5 = b"\x89HDF\r\n\x1a\n"
_SAFETENSORS_HEADER = 100 << 20  # the longest that the format allows


def load_tensors_only(path: Path) -> dict[str, Any]:
    """Load a checkpoint: a PyTorch file or safetensors, whatever it is called.

    Raises:
        ModelError: unreadable, or it holds more than tensors and plain values.
    """
    check_readable(path)
    content = _safetensors(path) if _is_safetensors(path) else _by_child("torch", path)
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds a {type(content).__name__}, not a checkpoint")
    return content


def load_statistics(path: Path) -> Any:
    """Load arrays of .npy, .npz or HDF5, whatever the file is called.

    Raises:
        ModelError: unreadable, or it holds more than numbers.
    """
    check_readable(path)
    with path.open("rb") as stream:
        head = stream.read(len(_HDF5))
    if head != _HDF5:
        return _by_child("numpy", path)
    if importlib.util.find_spec("h5py") is None:
        raise ModelError(
            f"{path} is HDF5, which h5py reads", "pip install 'hifigan-cli[import]' brings it"
        )
    return _by_child("hdf5", path)


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as stream:
        head = stream.read(9)
    return head[8:] == b"{" and int.from_bytes(head[:8], "little") <= _SAFETENSORS_HEADER


def _safetensors(path: Path) -> dict[str, Any]:
    import safetensors.torch
    from safetensors import SafetensorError

    try:
        return dict(safetensors.torch.load_file(path))
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is damaged: {error}") from error


def _by_child(kind: str, path: Path) -> Any:
    return read_untrusted(kind, path, str(path), ModelError)
