"""Files opened and replaced with care.

Reading refuses what is not a regular file (a FIFO would hang). Writing goes to a temporary sibling
that is flushed, synced and renamed, so that a name holds the old content or the new, never half.
"""

from __future__ import annotations

import os
import re
import stat
from collections import defaultdict
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from hifigan_cli.errors import EmptyError, InputError, OutputError, UsageError, closest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_LONGEST_NAME = 255  # bytes, on every file system in use
_TEMPORARY = re.compile(r"\.(\d+)\.(.+)\.tmp", re.DOTALL)  # a newline is part of a name


def open_regular(path: Path) -> IO[bytes]:
    """Open a regular file for reading.

    Raises:
        InputError: missing, unreadable, empty, or a folder, FIFO or device.
    """
    try:
        # Without O_NONBLOCK the mere opening of a FIFO waits for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", _nearest(path)) from error
    except ValueError as error:  # a NUL in the name
        raise InputError(f"{str(path)!r}: {error}") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise InputError(f"{path} is {kind}")
    if status.st_size == 0:
        os.close(descriptor)
        raise EmptyError(f"{path} is empty (0 bytes)")
    return os.fdopen(descriptor, "rb")


def is_folder(path: Path) -> bool:
    """Tell a folder; a name too long, or a place that cannot be searched, is none.

    pathlib raises there on Python 3.11; os.path answers.
    """
    return os.path.isdir(path)  # noqa: PTH112


def is_file(path: Path) -> bool:
    """Tell a regular file; a name too long, or a place that cannot be searched, is none."""
    return os.path.isfile(path)  # noqa: PTH113


def _nearest(path: Path) -> str | None:
    """Name a file of the same folder that the path may have meant."""
    try:
        siblings = [entry.name for entry in path.parent.iterdir() if entry.name != path.name]
    except OSError:
        return None
    return closest(path.name, siblings) or None


def check_output(path: Path, force: bool, source: Path | None = None) -> None:
    """Refuse an output that exists, cannot be made, or is its own input, before any computing.

    Raises:
        UsageError: `path` and `source` are one file.
        OutputError: `path` exists and `force` is not set, or its folder cannot be written.
    """
    exists = os.path.exists(path)  # noqa: PTH110 - as in is_folder
    if source is not None and exists and is_file(source) and path.samefile(source):
        raise UsageError(f"{path} is both input and output", "choose another name with -o")
    if is_folder(path):
        raise OutputError(f"{path} is a folder", "name a file with -o")
    if exists and not is_file(path):
        # Replacing would put a plain file in the place of /dev/null.
        raise OutputError(f"{path} is not a regular file", "name a file with -o")
    if os.path.lexists(path) and not force:
        raise OutputError(f"{path} exists", "--force overwrites it")
    if len(os.fsencode(path.name)) > _LONGEST_NAME:
        raise OutputError(f"the name {path.name[:20]}... is too long", "choose a shorter one")
    check_folder(path.parent)


def check_folder(folder: Path) -> None:
    """Check that a folder can be written, or made; makes nothing.

    Raises:
        OutputError: it cannot.
    """
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not is_folder(folder):
        raise OutputError(f"{folder} is not a folder that can be used", "choose another place")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{folder} cannot be written", "choose another place with -o")


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, if they are not there.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling to write; at the end it takes the place of `path`.

    Folders on the way are made. When the block raises, the temporary is removed and `path` is as
    it was.

    Raises:
        OutputError: the file system refused (full, read-only).
    """
    temporary = path.with_name(f".{os.getpid()}.{_shortened(path.name)}.tmp")
    make_folder(path.parent)
    try:
        _create(temporary)
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        # Where no file could be made, none can be removed; that error is no news.
        with suppress(OSError):
            temporary.unlink()


def _shortened(name: str) -> str:
    """Cut a name so that it fits into a temporary's, which has at most 255 bytes as well."""
    return os.fsdecode(os.fsencode(name)[:200])


def _create(temporary: Path) -> None:
    """Make an empty file that was not there, and follow no link that somebody has put there."""
    with suppress(FileNotFoundError):
        temporary.unlink()  # of a killed process that had our number
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    os.close(os.open(temporary, flags, 0o666))


def sweep(targets: Iterable[Path]) -> None:
    """Remove the temporaries of these files that processes which are no more have left."""
    names: defaultdict[Path, set[str]] = defaultdict(set)
    for target in targets:
        names[target.parent].add(_shortened(target.name))
    for folder, ours in names.items():
        with suppress(OSError):  # where there is no folder, there is nothing to remove
            for entry in folder.iterdir():
                found = _TEMPORARY.fullmatch(entry.name)
                if found and found[2] in ours and not _lives(int(found[1])):
                    entry.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def write_bytes(path: Path, content: bytes) -> None:
    """Write a small file atomically.

    Raises:
        OutputError: the file system refused.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
