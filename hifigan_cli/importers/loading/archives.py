"""Members of a tar archive, by name: measured before they are read, never unpacked by path."""

from __future__ import annotations

import tarfile
from typing import IO, TYPE_CHECKING

from hifigan_cli.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MOST_MEMBERS = 1000
_BLOCK = 1 << 20
_GZIP = b"\x1f\x8b"
_MAGIC_AT, _MAGIC = 257, b"ustar"


def is_archive(path: Path) -> bool:
    """Tell a tar, plain or gzipped, by its first bytes."""
    with path.open("rb") as stream:
        head = stream.read(_MAGIC_AT + len(_MAGIC))
    return head.startswith(_GZIP) or head[_MAGIC_AT:] == _MAGIC


def copy_members(path: Path, wanted: Mapping[str, tuple[IO[bytes], int]]) -> set[str]:
    """Copy members of an archive into open files; return the names that were found.

    `wanted` has for each name, as `member` or `./member`, the file and the most bytes.

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
                if name in wanted and name not in found and member.isreg():
                    target, limit = wanted[name]
                    source = archive.extractfile(member)
                    if source is not None:
                        _copy(source, target, limit, f"{name} in {path}")
                        found.add(name)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise ModelError(f"{path} is no archive that can be read: {error}") from error
    return found


def _copy(source: IO[bytes], target: IO[bytes], limit: int, label: str) -> None:
    left = limit
    while block := source.read(_BLOCK):
        left -= len(block)
        if left < 0:
            raise ModelError(f"{label} is larger than {limit} bytes")
        target.write(block)
