"""Read files of other tools as data, so that code in them never runs.

The files are checkpoints, statistics (numpy, HDF5), JSON and YAML documents, and tar members.
"""

from __future__ import annotations

import importlib.util
import json
import re
import tarfile
from typing import IO, TYPE_CHECKING, Any

import yaml

from hifigan_cli.errors import ModelError
from hifigan_cli.io.files import is_file
from hifigan_cli.io.tensor_file import check_readable
from hifigan_cli.io.untrusted import read_untrusted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_DOCUMENT_BYTES = 4 << 20
_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*')  # the first group keeps strings as they are
_HDF5 = b"\x89HDF\r\n\x1a\n"
_MAX_SAFETENSORS_HEADER = 100 << 20  # the limit of the format
_MAX_MEMBERS = 1000
_BLOCK = 1 << 20
_GZIP = b"\x1f\x8b"
_TAR_OFFSET, _TAR = 257, b"ustar"


def load_tensors_only(path: Path) -> dict[str, Any]:
    """Load a PyTorch or safetensors checkpoint; the content decides, not the file name.

    Raises:
        ModelError: if it is unreadable or contains more than tensors and plain values.
    """
    check_readable(path)
    head = _first_bytes(path, 9)
    if head[8:] == b"{" and int.from_bytes(head[:8], "little") <= _MAX_SAFETENSORS_HEADER:
        import safetensors.torch

        try:
            return dict(safetensors.torch.load_file(path))
        except (safetensors.SafetensorError, OSError) as error:
            raise ModelError(f"{path} is damaged: {error}") from error
    content = read_untrusted("torch", path, str(path), ModelError)
    if not isinstance(content, dict):
        raise ModelError(f"{path} contains a {type(content).__name__}, not a checkpoint")
    return content


def load_statistics(path: Path) -> Any:
    """Load arrays from .npy, .npz or HDF5; the content decides, not the file name.

    Raises:
        ModelError: if it is unreadable or contains more than numbers.
    """
    check_readable(path)
    if _first_bytes(path, len(_HDF5)) != _HDF5:
        return read_untrusted("numpy", path, str(path), ModelError)
    if importlib.util.find_spec("h5py") is None:
        raise ModelError(
            f"{path} is HDF5, and h5py is not installed", "pip install 'hifigan-cli[import]'"
        )
    return read_untrusted("hdf5", path, str(path), ModelError)


def _first_bytes(path: Path, size: int) -> bytes:
    with path.open("rb") as stream:
        return stream.read(size)


class _PlainLoader(yaml.SafeLoader):
    """Read a tagged value (`!new:some.Class`, `!ref <x>`) without its tag."""


def _construct_untagged(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return str(node.value)


_PlainLoader.add_multi_constructor("!", _construct_untagged)


def read_document(path: Path) -> dict[str, Any]:
    """Read a JSON (comments allowed) or YAML file that contains a mapping.

    Raises:
        ModelError: if it is missing, too large or not a mapping.
    """
    if not is_file(path):
        raise ModelError(
            f"the configuration is missing: {path}",
            "put the configuration next to the checkpoint, or name it with --config",
        )
    try:
        if path.stat().st_size > MAX_DOCUMENT_BYTES:
            raise ModelError(f"{path} is too large for a configuration")
        return parse_document(path.read_bytes(), path.suffix.lower(), str(path))
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error


def parse_document(text: bytes, suffix: str, label: str) -> dict[str, Any]:
    """Parse the bytes of a JSON or YAML document.

    Raises:
        ModelError: if it cannot be parsed or is not a mapping.
    """
    try:
        if suffix == ".json":
            content = json.loads(_COMMENT.sub(r"\1", text.decode("utf-8")))
        else:
            content = yaml.load(text, _PlainLoader)  # noqa: S506 - a SafeLoader
    except (ValueError, yaml.YAMLError, RecursionError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{label} does not describe a generator: {reason}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{label} does not describe a generator: it is not a mapping")
    return content


def is_archive(path: Path) -> bool:
    """Return whether a file is a tar, plain or gzipped, by its first bytes."""
    head = _first_bytes(path, _TAR_OFFSET + len(_TAR))
    return head.startswith(_GZIP) or head[_TAR_OFFSET:] == _TAR


def copy_members(path: Path, wanted: Mapping[str, tuple[IO[bytes], int]]) -> set[str]:
    """Copy members of an archive into open files; return the names that were found.

    `wanted` maps each member name, with or without a leading `./`, to the file and the size limit
    in bytes. Sizes are measured while reading, and nothing is unpacked by path.

    Raises:
        ModelError: if it is not a tar, it is truncated, or a member is larger than its limit.
    """
    found: set[str] = set()
    try:
        with tarfile.open(path, mode="r|*") as archive:  # sequential: never seeks
            for count, member in enumerate(archive):
                if count >= _MAX_MEMBERS:
                    raise ModelError(f"{path} has more than {_MAX_MEMBERS} members")
                name = member.name.removeprefix("./")
                if name not in wanted or name in found or not member.isreg():
                    continue
                target, limit = wanted[name]
                source = archive.extractfile(member)
                remaining = limit
                while source and (block := source.read(_BLOCK)):
                    remaining -= len(block)
                    if remaining < 0:
                        raise ModelError(f"{name} in {path} is larger than {limit} bytes")
                    target.write(block)
                found.add(name)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as an archive: {error}") from error
    return found
