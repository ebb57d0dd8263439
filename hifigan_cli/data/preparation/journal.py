"""The journal of a run: what became of each file, and the point that a killed run resumes from.

A journal has one line of JSON for each of these, in the order in which they happen:

- the options, which a run that resumes must share
- a file of the corpus is settled: its `Clip` or `Rejection`
- a shard is packed: its files are complete and on the disk, with these checksums
- the end: every file is settled

A run resumes after the last packed shard of which everything still holds: the corpus's files and
the packed files match their checksums. So the result is that of an undisturbed run.

Where several processes share the work, each has a journal and packed files of its own, under
names of its own. When all journals have their end, one process writes the index (see `index`).
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hifigan_cli.data.preparation.clip import ClipTask, digests
from hifigan_cli.data.preparation.folder import journal_file
from hifigan_cli.data.records import Clip, FileChecksum, Rejection, checksum, to_line
from hifigan_cli.errors import OutputError
from hifigan_cli.io.files import is_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hifigan_cli.runtime.sharding import Shard


@dataclass(frozen=True, slots=True)
class PackedShard:
    """A packed shard is complete: its files, and the clip that did not fit into it any more."""

    files: dict[str, FileChecksum]
    overflow: Clip | None


@dataclass(frozen=True, slots=True)
class JournalEnd:
    """Every file is settled: the digest of the corpus's list of files, and all packed files."""

    listing: str
    files: dict[str, FileChecksum]


@dataclass
class JournalState:
    """How much of an earlier run still holds.

    Attributes:
        done: how many files are settled.
        journal_bytes: where the journal's lines about them end; 0 without a first line.
        files: the packed files, by name.
    """

    done: int = 0
    journal_bytes: int = 0
    files: dict[str, FileChecksum] = field(default_factory=dict)


def find_resume_point(
    folder: Path, shard: Shard, options: dict[str, Any], tasks: Sequence[ClipTask], force: bool
) -> JournalState:
    """Follow the journal of a shard of the work, from one packed shard to the next.

    Raises:
        OutputError: the journal is of other options, and `force` is not set.
    """
    point = JournalState()
    try:
        journal = (folder / journal_file(shard)).open("rb")
    except FileNotFoundError:
        return point
    with journal:
        first = journal.readline()
        if first != to_line(options):
            if first.endswith(b"\n") and not force:
                raise _other_options(folder, first, options)
            return point
        point.journal_bytes = read = len(first)
        done = 0
        for line in journal:
            read += len(line)
            entry = _parse(line)
            task = tasks[done] if done < len(tasks) else None
            if isinstance(entry, Clip | Rejection) and _holds(entry, task):
                done += 1
            elif (
                isinstance(entry, PackedShard)
                and _holds(entry.overflow, task)
                and all(
                    is_file(folder / name) and checksum(folder / name) == known
                    for name, known in entry.files.items()
                )
            ):
                point = JournalState(done, read, point.files | entry.files)
            else:
                break
    return point


def read_records(folder: Path, shard: Shard) -> Iterator[Clip | Rejection]:
    """Read the records of a shard of the work, in the corpus's order."""
    with (folder / journal_file(shard)).open("rb") as journal:
        for line in journal:
            if isinstance(entry := _parse(line), Clip | Rejection):
                yield entry


def read_end(folder: Path, shard: Shard, options: dict[str, Any]) -> JournalEnd | None:
    """Read the end of a journal; None if it has none, or is of other options."""
    try:
        with (folder / journal_file(shard)).open("rb") as journal:
            if journal.readline() != to_line(options):
                return None
            last = b""
            for line in journal:
                last = line
    except FileNotFoundError:
        return None
    entry = _parse(last)
    return entry if isinstance(entry, JournalEnd) else None


def withdraw_end(folder: Path, shard: Shard) -> None:
    """Cut off a journal's end, if it has one."""
    with suppress(FileNotFoundError), (folder / journal_file(shard)).open("r+b") as journal:
        start, last = 0, b""
        for line in journal:
            start, last = start + len(last), line
        if isinstance(_parse(last), JournalEnd):
            journal.truncate(start)


def _parse(line: bytes) -> Clip | Rejection | PackedShard | JournalEnd | None:
    """Read an entry; None if the line is none or was not written to its end."""
    try:
        content = json.loads(line if line.endswith(b"\n") else b"")
        if "path" in content:
            return Rejection(**content) if "reason" in content else Clip(**content)
        files = {name: FileChecksum(**known) for name, known in content.pop("files").items()}
        if "listing" in content:
            return JournalEnd(content["listing"], files)
        return PackedShard(files, Clip(**content["overflow"]) if content["overflow"] else None)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _holds(record: Clip | Rejection | None, task: ClipTask | None) -> bool:
    """Return whether a task would have the same outcome again; nothing follows on nothing."""
    if record is None or task is None:
        return record is None and task is None
    named = record.name if isinstance(record, Clip) else task.file.name
    same = (record.path, named) == (task.file.path, task.file.name)
    return same and digests(task) == (record.source_sha256, record.mel_sha256)


def _other_options(folder: Path, line: bytes, options: dict[str, Any]) -> OutputError:
    try:
        known = json.loads(line)
        keys = [key for key, value in options.items() if known.get(key) != value]
    except (ValueError, AttributeError):
        keys = []
    what = f"other options ({', '.join(keys)})" if keys else "another version"
    return OutputError(
        f"{folder} holds an unfinished preparation with {what}", "--force starts again"
    )
