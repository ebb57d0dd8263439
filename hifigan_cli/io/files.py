"""Open regular files only; replace files atomically.

Reading refuses what is not a regular file (a FIFO would hang). Writing goes to a temporary sibling
that is synced and renamed, so that a name holds the old content or the new, never half.
"""

from __future__ import annotations

import os
import re
import stat
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
        raise InputError(f"{path}: {error.strerror}", nearest(path)) from error
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


def nearest(path: Path, *, folders: bool = False) -> str | None:
    """Ask whether a path meant a file next to it, or a folder, that has a similar name.

    With `folders` it can only mean a folder.
    """
    try:
        siblings = [
            entry.name
            for entry in path.parent.iterdir()
            if entry.name != path.name and (not folders or is_folder(entry))
        ]
    except OSError:
        return None
    return closest(path.name, siblings) or None


# pathlib raises on Python 3.11 where os.path answers: a name too long, a place not to be searched.
def is_folder(path: Path) -> bool:
    """Return whether a path is a folder."""
    return os.path.isdir(path)  # noqa: PTH112


def is_file(path: Path) -> bool:
    """Return whether a path is a regular file."""
    return os.path.isfile(path)  # noqa: PTH113


def check_output(path: Path, force: bool, source: Path | None = None) -> None:
    """Refuse an output that exists, cannot be written, or is its own input.

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
    """Check that a folder can be written, or created; nothing is created.

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
    """Create a folder and its parents, if they do not exist.

    Raises:
        OutputError: it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling to write; at the end it takes the place of `path`.

    Missing folders are created. When the block raises, the temporary is removed and `path` is as
    it was.

    Raises:
        OutputError: the file system refused (full, read-only).
    """
    temporary = path.with_name(f".{os.getpid()}.{_shortened(path.name)}.tmp")
    make_folder(path.parent)
    try:
        with suppress(FileNotFoundError):
            temporary.unlink()  # of a killed process that had our number
        # O_EXCL and O_NOFOLLOW: no link that somebody has put there is followed.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(temporary, flags, 0o666))
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        # Where no file could be created, none can be removed; that error is no news.
        with suppress(OSError):
            temporary.unlink()


def _sync(path: Path) -> None:
    """Let the file system write a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _shortened(name: str) -> str:
    """Cut a name so that it fits into a temporary's, which has at most 255 bytes as well."""
    return os.fsdecode(os.fsencode(name)[:200])


def sweep(targets: Iterable[Path]) -> None:
    """Remove the temporaries of these files that ended processes have left."""
    ours = {target.with_name(_shortened(target.name)) for target in targets}
    for folder in {target.parent for target in ours}:
        with suppress(OSError):  # where there is no folder, there is nothing to remove
            for entry in folder.iterdir():
                found = _TEMPORARY.fullmatch(entry.name)
                if found and folder / found[2] in ours and not _is_running(int(found[1])):
                    entry.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def write_bytes(path: Path, content: bytes) -> None:
    """Write a small file atomically.

    Raises:
        OutputError: the file system refused.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)
