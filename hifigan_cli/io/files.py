"""Open regular files only; replace files atomically.

Reading accepts only regular files, because a FIFO would hang. Writing goes to a temporary sibling
that is synced and renamed, so that a path has the old content or the new, never a part of it.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from hifigan_cli.errors import EmptyError, InputError, OutputError, UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_MAX_NAME_BYTES = 255  # on every common file system
_TEMPORARY = re.compile(r"\.(\d+)\.(.+)\.tmp", re.DOTALL)  # names may contain newlines


def open_regular(path: Path) -> IO[bytes]:
    """Open a regular file for reading.

    Raises:
        InputError: the path is missing, unreadable, empty, or a folder, FIFO or device.
    """
    try:
        # Without O_NONBLOCK, opening a FIFO waits for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        hint = similar_path(path) or "check the path"
        raise InputError(f"{path}: {error.strerror}", hint) from error
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


def similar_path(path: Path, *, folders: bool = False) -> str | None:
    """Suggest a file or folder next to a path that has a similar name; with `folders` a folder."""
    try:
        siblings = [
            entry.name
            for entry in path.parent.iterdir()
            if entry.name != path.name and (not folders or is_folder(entry))
        ]
    except OSError:
        return None
    return did_you_mean(path.name, siblings) or None


# On Python 3.11 pathlib raises for a name that is too long or a folder that cannot be searched;
# os.path returns False.
def is_folder(path: Path) -> bool:
    """Return whether a path is a folder."""
    return os.path.isdir(path)  # noqa: PTH112


def is_file(path: Path) -> bool:
    """Return whether a path is a regular file."""
    return os.path.isfile(path)  # noqa: PTH113


def check_output(path: Path, force: bool, source: Path | None = None) -> None:
    """Check that an output is not its own input, may be overwritten, and can be written.

    Raises:
        UsageError: `path` and `source` are the same file.
        OutputError: `path` exists and `force` is not set, or its folder cannot be written.
    """
    exists = os.path.exists(path)  # noqa: PTH110 - as in is_folder
    if source is not None and exists and is_file(source) and path.samefile(source):
        raise UsageError(f"{path} is both input and output", "choose another name with -o")
    if is_folder(path):
        raise OutputError(f"{path} is a folder", "name a file with -o")
    if exists and not is_file(path):
        # Otherwise a regular file would replace /dev/null.
        raise OutputError(f"{path} is not a regular file", "name a file with -o")
    if os.path.lexists(path) and not force:
        raise OutputError(f"{path} exists", "--force overwrites it")
    if len(os.fsencode(path.name)) > _MAX_NAME_BYTES:
        raise OutputError(f"the name {path.name[:20]}... is too long", "choose a shorter name")
    check_folder(path.parent)


def check_folder(folder: Path) -> None:
    """Check that a folder can be written or created; create nothing.

    Raises:
        OutputError: the folder cannot be written.
    """
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not is_folder(folder):
        raise OutputError(f"{folder} is not a usable folder", "choose another folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{folder} cannot be written", "choose another folder with -o")


def create_folder(folder: Path) -> None:
    """Create a folder and its parents, if they do not exist.

    Raises:
        OutputError: the folder cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot create the folder {folder}: {error.strerror}") from error


@contextmanager
def atomic_replace(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling to write; at the end, rename it to `path`.

    Missing folders are created. When the block raises, the temporary file is removed and `path`
    stays unchanged.

    Raises:
        OutputError: writing failed, for example because the disk is full or read-only.
    """
    temporary = path.with_name(f".{os.getpid()}.{_shorten(path.name)}.tmp")
    create_folder(path.parent)
    try:
        with suppress(FileNotFoundError):
            temporary.unlink()  # a killed process with the same process ID left it
        # O_EXCL and O_NOFOLLOW: a planted link is not followed.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(temporary, flags, 0o666))
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        # If the file could not be created, removing it fails too; ignore that error.
        with suppress(OSError):
            temporary.unlink()


def _sync(path: Path) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _shorten(name: str) -> str:
    """Shorten a name so that the name of its temporary file has at most 255 bytes."""
    return os.fsdecode(os.fsencode(name)[:200])


def remove_stale_temporaries(targets: Iterable[Path]) -> None:
    """Remove the temporary files of these targets whose process no longer runs."""
    shortened = {target.with_name(_shorten(target.name)) for target in targets}
    for folder in {target.parent for target in shortened}:
        with suppress(OSError):  # a missing folder has no temporary files
            for entry in folder.iterdir():
                match = _TEMPORARY.fullmatch(entry.name)
                if match and folder / match[2] in shortened and not _is_running(int(match[1])):
                    entry.unlink(missing_ok=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # the process of another user
        return True
    return True


def write_bytes(path: Path, content: bytes) -> None:
    """Write a small file atomically.

    Raises:
        OutputError: writing failed.
    """
    with atomic_replace(path) as temporary:
        temporary.write_bytes(content)
