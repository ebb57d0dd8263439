"""The output folder: the names of its files, what may lie in it, and who may write there.

A run that does all the work holds the folder's lock from beginning to end. One that does a shard of
the work holds a lock of its own, and the folder's only for the moments at its beginning and end in
which it looks at what the others did. The locks are the file system's, so several machines that
share it can share the work.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hifigan_cli.data.records import CLIPS_FILE, MANIFEST_FILE, REJECTED_FILE
from hifigan_cli.errors import OutputError
from hifigan_cli.io.files import check_folder
from hifigan_cli.io.locks import LOCK_FILE, locked
from hifigan_cli.runtime.sharding import WHOLE, Shard

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

JOURNAL_FILE = "journal.jsonl"
_JOURNAL = re.compile(r"journal(?:-(\d+)-of-(\d+))?\.jsonl")
_PACKED = re.compile(r"(?:samples-(\d{5,})\.i16|mels-(\d{5,})\.f32)")
_INDEX = (MANIFEST_FILE, CLIPS_FILE, REJECTED_FILE)
_TEMPORARY = re.compile(rf"\.\d+\.({'|'.join(map(re.escape, _INDEX))})\.tmp")
_LOCK = re.compile(r"\.lock(?:-\d+-of-\d+)?(?:\.pid)?")
_OWN = (_JOURNAL, _PACKED, _TEMPORARY, _LOCK)
_PATIENCE_S = 60.0  # for the others' moments; the longest is the writing of the index


def journal_file(shard: Shard) -> str:
    """Name the journal of a shard of the work."""
    return JOURNAL_FILE if shard.whole else f"journal-{shard.number}-of-{shard.count}.jsonl"


def journals(folder: Path) -> list[Shard]:
    """Return the shards of the work that have a journal."""
    found = (_JOURNAL.fullmatch(entry.name) for entry in folder.iterdir())
    return sorted(
        (Shard(int(m[1]), int(m[2])) if m[1] else WHOLE for m in found if m),
        key=lambda shard: (shard.count, shard.number),
    )


def packed_files(folder: Path, shard: Shard) -> list[Path]:
    """Return the packed files that a shard of the work may have written."""
    found = ((entry, _PACKED.fullmatch(entry.name)) for entry in folder.iterdir())
    return [
        entry
        for entry, match in found
        if match and int(match[1] or match[2]) % shard.count == shard.number - 1
    ]


def is_own(name: str) -> bool:
    """Return whether a file of a prepared folder is ours, and not what somebody put there."""
    return name in _INDEX or any(pattern.fullmatch(name) for pattern in _OWN)


def check_output_folder(out: Path, force: bool) -> None:
    """Reject an output folder that is of something else or cannot be written; touch nothing.

    Raises:
        OutputError: says which of these.
    """
    check_folder(out)
    try:
        others = [entry.name for entry in out.iterdir() if not is_own(entry.name)]
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"{out}: {error.strerror}", "choose another place with -o") from error
    begun = (out / MANIFEST_FILE).exists() or journals(out)
    if others and not begun and not force:
        raise OutputError(
            f"{out} holds other files, such as {min(others)}",
            "choose a new folder with -o; --force puts the prepared data next to them",
        )


@contextmanager
def others_wait(out: Path, shard: Shard) -> Iterator[None]:
    """Keep the other processes waiting for the length of the block.

    Raises:
        OutputError: a run that does all the work holds the folder, or another process does for too
            long.
    """
    if shard.whole:
        yield  # it holds that lock already
        return
    with locked(out, LOCK_FILE, _PATIENCE_S):
        yield


def check_journals(out: Path, shard: Shard, force: bool) -> None:
    """Reject an unfinished preparation by another number of processes.

    With `force` it is removed.

    Raises:
        OutputError: says by how many.
    """
    others = [other for other in journals(out) if other.count != shard.count]
    if not others:
        return
    if force:
        discard(out)
        return
    count = others[0].count
    known, how = "in one piece", "the command without --shard continues it"
    if count > 1:
        known, how = f"in {count} parts", f"--shard I/{count} continues each"
    raise OutputError(
        f"{out} holds an unfinished preparation {known}", f"{how}; remove {out} to start again"
    )


def remove_temporaries(out: Path) -> None:
    """Remove temporaries of a run that was killed while it wrote them.

    Only the index is written through temporaries, and only while the others wait; so whoever calls
    this in such a moment never removes one that a living process writes.
    """
    for entry in out.iterdir():
        if _TEMPORARY.fullmatch(entry.name):
            entry.unlink(missing_ok=True)


def clean(out: Path, needed: Collection[str]) -> None:
    """Remove journals, and packed files of an earlier preparation, that a folder does not need."""
    for entry in sorted(out.iterdir()):
        work = _JOURNAL.fullmatch(entry.name) or _PACKED.fullmatch(entry.name)
        if work and entry.name not in needed:
            entry.unlink(missing_ok=True)


def discard(out: Path) -> None:
    """Remove a preparation, the manifest first: it must not look finished meanwhile."""
    for name in _INDEX:
        (out / name).unlink(missing_ok=True)
    clean(out, ())
