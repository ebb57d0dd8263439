"""One writer to a folder.

The lock is the operating system's: a killed run leaves none behind. The process number next to it
only serves the message.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from hifigan_cli.errors import OutputError
from hifigan_cli.io.files import check_folder, is_folder, make_folder, sweep

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from hifigan_cli.runtime.sharding import Shard

LOCK_FILE = ".lock"
HOLDER_FILE = ".lock.pid"


def part_lock(part: Shard) -> str:
    """Name the lock that a shard holds while it is at work; for all of the work, the folder's."""
    return LOCK_FILE if part.whole else f"{LOCK_FILE}-{part.number}-of-{part.count}"


@contextmanager
def locked(folder: Path, name: str = LOCK_FILE, patience_s: float = 0.0) -> Iterator[None]:
    """Hold an existing folder for the length of the block; leave no file behind.

    Locks of different names do not hinder each other. Another's lock is waited for `patience_s`.

    Raises:
        OutputError: another run holds it, or the file system refused.
    """
    path, holder = folder / name, folder / f"{name}.pid"
    lock = FileLock(path)
    try:
        lock.acquire(timeout=patience_s)
    except Timeout as error:
        raise OutputError(
            f"{folder} is in use by {_pid(holder)}", "wait until it ends, or choose another -o"
        ) from error
    except OSError as error:
        raise OutputError(f"cannot lock {folder}: {error.strerror or error}") from error
    try:
        try:
            # A killed run may have left its note, or somebody a link: neither is written to. There
            # is no temporary, because others look into the folder meanwhile.
            holder.unlink(missing_ok=True)
            with holder.open("xb") as note:
                note.write(str(os.getpid()).encode())
        except OSError as error:
            raise OutputError(f"cannot write {holder}: {error.strerror or error}") from error
        yield
    finally:
        holder.unlink(missing_ok=True)
        # Removed while it is held: who opened it meanwhile finds it unlinked and opens a new one.
        path.unlink(missing_ok=True)
        lock.release()


@contextmanager
def hold_folder(folder: Path, shard: Shard, targets: Iterable[Path]) -> Iterator[None]:
    """Lock a folder for results, which is created if need be; remove what killed runs left of them.

    A shard holds its part only; all of the work is held while nobody works on a shard of it. A
    folder that was created is removed again if nothing was written.

    Raises:
        OutputError: the folder cannot be written, or another run holds it.
    """
    check_folder(folder)
    created = not is_folder(folder)
    make_folder(folder)
    try:
        with locked(folder, part_lock(shard)):
            for other in sorted(folder.glob(f"{LOCK_FILE}-*-of-*[0-9]")) if shard.whole else ():
                with locked(folder, other.name):  # its owner is gone
                    pass
            sweep(targets)
            yield
    finally:
        if created:
            with suppress(OSError):
                folder.rmdir()  # if it is still empty


def _pid(holder: Path) -> str:
    try:
        return f"pid {int(holder.read_text())}"
    except (OSError, ValueError):  # between its lock and its note
        return "another run"
