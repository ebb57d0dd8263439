"""The output folder: what may lie in it, and who may write there.

A run alone holds the folder's lock from beginning to end. A part holds a lock of its own, and the
folder's only for the moments at its beginning and end in which it looks at what the others did. The
locks are the file system's, so parts may run on several machines that share it.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hifigan_cli.data.preparation.packing.names import (
    is_own,
    is_temporary,
    journals,
    results,
)
from hifigan_cli.data.records import MANIFEST_FILE
from hifigan_cli.errors import OutputError
from hifigan_cli.io.files import is_folder
from hifigan_cli.io.locks import LOCK_FILE, locked, part_lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hifigan_cli.runtime.sharding import Shard

_PATIENCE_S = 60.0  # for the others' moments; the longest is the writing of the index


def check_folder(out: Path, force: bool) -> None:
    """Refuse an output folder that is of something else or cannot be written; touch nothing.

    Raises:
        OutputError: says which of these.
    """
    try:
        out.lstat()
    except FileNotFoundError:
        above = next(folder for folder in out.absolute().parents if os.path.lexists(folder))
        if not os.access(above, os.W_OK | os.X_OK):
            raise OutputError(
                f"{above} cannot be written", "choose another place with -o"
            ) from None
        return
    except OSError as error:
        raise OutputError(f"{out}: {error.strerror}", "choose another place with -o") from error
    if not is_folder(out):
        raise OutputError(f"{out} is not a folder", "choose another place with -o")
    if not os.access(out, os.R_OK | os.W_OK | os.X_OK):
        raise OutputError(f"{out} cannot be written", "choose another place with -o")
    others = [entry.name for entry in out.iterdir() if not is_own(entry.name)]
    begun = (out / MANIFEST_FILE).exists() or journals(out)
    if others and not begun and not force:
        raise OutputError(
            f"{out} holds other files, such as {min(others)}",
            "choose a new folder with -o; --force puts the prepared data beside them",
        )


@contextmanager
def held(out: Path, part: Shard) -> Iterator[None]:
    """Hold the folder for a run alone, or a part of it for a part.

    Raises:
        OutputError: somebody else is at work on it.
    """
    if part.whole:
        with locked(out):
            for other in journals(out):
                if not other.whole:
                    with locked(out, part_lock(other)):  # nobody is at work on it
                        pass
            yield
    else:
        with locked(out, part_lock(part)):
            yield


@contextmanager
def alone(out: Path, part: Shard) -> Iterator[None]:
    """Keep the other parts waiting for the length of the block.

    Raises:
        OutputError: a run alone holds the folder, or another part does for too long.
    """
    if part.whole:
        yield  # it holds that lock already
        return
    with locked(out, LOCK_FILE, _PATIENCE_S):
        yield


def check_journals(out: Path, part: Shard, force: bool) -> None:
    """Refuse to begin beside an unfinished preparation that is cut into other parts.

    With `force` it is removed.

    Raises:
        OutputError: says in how many parts it is.
    """
    others = [other for other in journals(out) if other.count != part.count]
    if not others:
        return
    if force:
        discard(out)
        return
    count = others[0].count
    known = f"in {count} parts" if count > 1 else "in one piece"
    how = f"--shard I/{count} continues each" if count > 1 else "the command alone continues it"
    raise OutputError(
        f"{out} holds an unfinished preparation {known}",
        f"{how}; remove {out} to start anew",
    )


def remove_strays(out: Path) -> None:
    """Remove temporaries of a run that was killed while it wrote them.

    Only the index is written by way of temporaries, by who keeps the others waiting (`alone`). So
    who calls this in that time never removes one that a living process writes.
    """
    for entry in out.iterdir():
        if is_temporary(entry.name):
            entry.unlink(missing_ok=True)


def discard(out: Path) -> None:
    """Remove everything that a preparation made, the manifest first."""
    for path in results(out):
        path.unlink(missing_ok=True)


def remove_if_empty(out: Path) -> None:
    """Remove a folder that was made for nothing."""
    try:
        out.rmdir()
    except OSError:
        return
