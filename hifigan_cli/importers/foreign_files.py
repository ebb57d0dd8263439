"""Files of other tools, read as data: whatever they hold, nothing of it runs.

Checkpoints, statistics (numpy, HDF5), JSON and YAML documents, and members of a tar.
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

MOST_BYTES = 4 << 20  # of a document
_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*')  # the first group keeps strings as they are
_HDF5 = b"\x89HDF\r\n\x1a\n"
_SAFETENSORS_HEADER = 100 << 20  # the longest that the format allows
_MOST_MEMBERS = 1000
_BLOCK = 1 << 20
_GZIP = b"\x1f\x8b"
_TAR_AT, _TAR = 257, b"ustar"


def load_tensors_only(path: Path) -> dict[str, Any]:
    """Load a checkpoint: a PyTorch file or safetensors, whatever it is called.

    Raises:
        ModelError: unreadable, or it holds more than tensors and plain values.
    """
    check_readable(path)
    head = _head(path, 9)
    if head[8:] == b"{" and int.from_bytes(head[:8], "little") <= _SAFETENSORS_HEADER:
        import safetensors.torch

        try:
            return dict(safetensors.torch.load_file(path))
        except (safetensors.SafetensorError, OSError) as error:
            raise ModelError(f"{path} is damaged: {error}") from error
    content = read_untrusted("torch", path, str(path), ModelError)
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds a {type(content).__name__}, not a checkpoint")
    return content


def load_statistics(path: Path) -> Any:
    """Load arrays of .npy, .npz or HDF5, whatever the file is called.

    Raises:
        ModelError: unreadable, or it holds more than numbers.
    """
    check_readable(path)
    if _head(path, len(_HDF5)) != _HDF5:
        return read_untrusted("numpy", path, str(path), ModelError)
    if importlib.util.find_spec("h5py") is None:
        raise ModelError(
            f"{path} is HDF5, which h5py reads", "pip install 'hifigan-cli[import]' brings it"
        )
    return read_untrusted("hdf5", path, str(path), ModelError)


def _head(path: Path, size: int) -> bytes:
    with path.open("rb") as stream:
        return stream.read(size)


class _Values(yaml.SafeLoader):
    """Reads a tagged value (`!new:some.Class`, `!ref <x>`) as the value only."""


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
    if not is_file(path):
        raise ModelError(
            f"no configuration at {path}",
            "--config names the one that belongs to the checkpoint; weights alone do not tell "
            "strides",
        )
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ModelError(f"{path} is too large for a configuration")
        return parse_document(path.read_bytes(), path.suffix.lower(), str(path))
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error


def parse_document(text: bytes, suffix: str, label: str) -> dict[str, Any]:
    """Parse the bytes of a JSON or YAML document.

    Raises:
        ModelError: not such a document, or not a mapping.
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


def is_archive(path: Path) -> bool:
    """Recognize a tar, plain or gzipped, by its first bytes."""
    head = _head(path, _TAR_AT + len(_TAR))
    return head.startswith(_GZIP) or head[_TAR_AT:] == _TAR


def copy_members(path: Path, wanted: Mapping[str, tuple[IO[bytes], int]]) -> set[str]:
    """Copy members of an archive into open files; return the names that were found.

    `wanted` has for each name, as `member` or `./member`, the file and the most bytes. Members are
    measured as they are read, and never unpacked by path.

    Raises:
        ModelError: no tar, cut short, or a member is larger than its limit.
    """
    found: set[str] = set()
    try:
        with tarfile.open(path, mode="r|*") as archive:  # a stream: it never seeks by its own sizes
            for count, member in enumerate(archive):
                if count >= _MOST_MEMBERS:
                    raise ModelError(f"{path} has more than {_MOST_MEMBERS} members")
                name = member.name.removeprefix("./")
                if name not in wanted or name in found or not member.isreg():
                    continue
                target, limit = wanted[name]
                source = archive.extractfile(member)
                left = limit
                while source and (block := source.read(_BLOCK)):
                    left -= len(block)
                    if left < 0:
                        raise ModelError(f"{name} in {path} is larger than {limit} bytes")
                    target.write(block)
                found.add(name)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise ModelError(f"{path} is no archive that can be read: {error}") from error
    return found
