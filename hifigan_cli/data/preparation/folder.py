"""The output folder: the names of its files, its allowed content, and exclusive access to it.

A run without shards holds the folder's lock from start to end. A shard holds its own lock, and the
folder's lock only briefly at its start and end, while it reads the state of the other shards. The
locks belong to the file system, so machines that share it can share the work.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hifigan_cli.data.records import CLIPS_FILE, MANIFEST_FILE, REJECTED_FILE
from hifigan_cli.errors import OutputError
from hifigan_cli.io.files import check_folder
from hifigan_cli.io.locks import LOCK_FILE, folder_lock
from hifigan_cli.runtime.sharding import UNSHARDED, Shard

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

JOURNAL_FILE = "journal.jsonl"
_JOURNAL = re.compile(r"journal(?:-(\d+)-of-(\d+))?\.jsonl")
_PACKED = re.compile(r"(?:samples-(\d{5,})\.i16|mels-(\d{5,})\.f32)")
_INDEX = (MANIFEST_FILE, CLIPS_FILE, REJECTED_FILE)
_TEMPORARY = re.compile(rf"\.\d+\.({'|'.join(map(re.escape, _INDEX))})\.tmp")
_LOCK = re.compile(r"\.lock(?:-\d+-of-\d+)?(?:\.pid)?")
_PREPARATION_FILES = (_JOURNAL, _PACKED, _TEMPORARY, _LOCK)
_LOCK_TIMEOUT_S = 60.0  # writing the index holds the lock longest


def journal_file(shard: Shard) -> str:
    """Return the name of the journal of a shard."""
    return JOURNAL_FILE if shard.covers_all else f"journal-{shard.number}-of-{shard.count}.jsonl"


def journal_shards(folder: Path) -> list[Shard]:
    """Return the shards that have a journal."""
    matches = (_JOURNAL.fullmatch(entry.name) for entry in folder.iterdir())
    return sorted(
        (Shard(int(m[1]), int(m[2])) if m[1] else UNSHARDED for m in matches if m),
        key=lambda shard: (shard.count, shard.number),
    )


def packed_files(folder: Path, shard: Shard) -> list[Path]:
    """Return the packed files that a shard may have written."""
    matches = ((entry, _PACKED.fullmatch(entry.name)) for entry in folder.iterdir())
    return [
        entry
        for entry, match in matches
        if match and int(match[1] or match[2]) % shard.count == shard.number - 1
    ]


def is_preparation_file(name: str) -> bool:
    """Return whether a file name is one that a preparation writes."""
    return name in _INDEX or any(pattern.fullmatch(name) for pattern in _PREPARATION_FILES)


def check_output_folder(out: Path, force: bool) -> None:
    """Check that an output folder can be written and has no other files; change nothing.

    Raises:
        OutputError: the folder cannot be written, or has other files.
    """
    check_folder(out)
    try:
        others = [entry.name for entry in out.iterdir() if not is_preparation_file(entry.name)]
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"{out}: {error.strerror}", "choose another folder with -o") from error
    started = (out / MANIFEST_FILE).exists() or journal_shards(out)
    if others and not started and not force:
        raise OutputError(
            f"{out} has other files, such as {min(others)}",
            "choose a new folder with -o, or add the prepared data to this one with --force",
        )


@contextmanager
def exclusive_access(out: Path, shard: Shard) -> Iterator[None]:
    """Hold the folder's lock for the duration of the block, so that other processes wait.

    Raises:
        OutputError: another process holds the lock for too long.
    """
    if shard.covers_all:
        yield  # a run without shards already holds the lock
        return
    with folder_lock(out, LOCK_FILE, _LOCK_TIMEOUT_S):
        yield


def check_journals(out: Path, shard: Shard, force: bool) -> None:
    """Reject an unfinished preparation with another number of shards; with `force` remove it.

    Raises:
        OutputError: the folder has such a preparation; the message states its number of shards.
    """
    others = [other for other in journal_shards(out) if other.count != shard.count]
    if not others:
        return
    if force:
        remove_preparation(out)
        return
    count = others[0].count
    shards, option = "without shards", "without --shard"
    if count > 1:
        shards, option = f"in {count} shards", f"with --shard I/{count}"
    raise OutputError(
        f"{out} has an unfinished preparation {shards}",
        f"continue it {option}, or remove {out} to start again",
    )


def remove_temporaries(out: Path) -> None:
    """Remove the temporary files of killed runs; requires `exclusive_access`.

    Only the index is written through temporary files, and only with exclusive access, so no running
    process uses the removed files.
    """
    for entry in out.iterdir():
        if _TEMPORARY.fullmatch(entry.name):
            entry.unlink(missing_ok=True)


def remove_leftovers(out: Path, needed: Collection[str]) -> None:
    """Remove journals and packed files except those in `needed`."""
    for entry in sorted(out.iterdir()):
        removable = _JOURNAL.fullmatch(entry.name) or _PACKED.fullmatch(entry.name)
        if removable and entry.name not in needed:
            entry.unlink(missing_ok=True)


def remove_preparation(out: Path) -> None:
    """Remove a preparation, the manifest first, so that the folder never looks finished."""
    for name in _INDEX:
        (out / name).unlink(missing_ok=True)
    remove_leftovers(out, ())
