"""Allow one writer per folder.

The lock belongs to the operating system, so a killed run leaves none behind. The file with the
process ID next to it only serves the error message.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from hifigan_cli.errors import OutputError
from hifigan_cli.io.files import check_folder, create_folder, is_folder, remove_stale_temporaries

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from hifigan_cli.runtime.sharding import Shard

LOCK_FILE = ".lock"
PID_FILE = ".lock.pid"


def shard_lock_name(shard: Shard) -> str:
    """Return the name of a shard's lock; a run without shards uses the folder's lock."""
    return LOCK_FILE if shard.covers_all else f"{LOCK_FILE}-{shard.number}-of-{shard.count}"


@contextmanager
def folder_lock(folder: Path, name: str = LOCK_FILE, timeout_s: float = 0.0) -> Iterator[None]:
    """Lock an existing folder for the duration of the block; leave no file behind.

    Locks with different names are independent. If another run holds the lock, wait `timeout_s`.

    Raises:
        OutputError: another run holds the lock, or the file system failed.
    """
    path, pid_file = folder / name, folder / f"{name}.pid"
    lock = FileLock(path)
    try:
        lock.acquire(timeout=timeout_s)
    except Timeout as error:
        raise OutputError(
            f"{folder} is in use by {_describe_owner(pid_file)}",
            "wait until it ends, or choose another folder with -o",
        ) from error
    except OSError as error:
        raise OutputError(f"cannot lock {folder}: {error.strerror or error}") from error
    try:
        try:
            # Remove what a killed run left or a link that somebody planted. Write without a
            # temporary file, because other runs list the folder meanwhile.
            pid_file.unlink(missing_ok=True)
            with pid_file.open("xb") as stream:
                stream.write(str(os.getpid()).encode())
        except OSError as error:
            raise OutputError(f"cannot write {pid_file}: {error.strerror or error}") from error
        yield
    finally:
        pid_file.unlink(missing_ok=True)
        # Unlink before release: a run that has opened the file sees this and opens a new one.
        path.unlink(missing_ok=True)
        lock.release()


@contextmanager
def lock_output_folder(folder: Path, shard: Shard, targets: Iterable[Path]) -> Iterator[None]:
    """Create and lock an output folder; remove temporary files that killed runs left of `targets`.

    A shard locks only its own name. A run without shards also requires that no shard runs. If the
    folder is new and stays empty, it is removed at the end.

    Raises:
        OutputError: the folder cannot be written, or another run holds the lock.
    """
    check_folder(folder)
    created = not is_folder(folder)
    create_folder(folder)
    try:
        with folder_lock(folder, shard_lock_name(shard)):
            others = folder.glob(f"{LOCK_FILE}-*-of-*[0-9]") if shard.covers_all else ()
            for other in sorted(others):
                with folder_lock(folder, other.name):  # fails if the shard still runs
                    pass
            remove_stale_temporaries(targets)
            yield
    finally:
        if created:
            with suppress(OSError):
                folder.rmdir()  # fails if the folder is not empty


def _describe_owner(pid_file: Path) -> str:
    try:
        return f"pid {int(pid_file.read_text())}"
    except (OSError, ValueError):  # the owner has not written the file yet
        return "another run"
