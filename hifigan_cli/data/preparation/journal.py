"""The journal of a run: the outcome of each file, and the point where a killed run resumes.

A journal has one line of JSON for each of these events, in order:

- the start: the options, which must be the same for a run that resumes
- a file of the corpus is done: its `Clip` or `Rejection`
- packed files are complete and flushed to disk, with their checksums
- the end: all files are done

A run resumes after the last packed files that are still valid: they and the files of the corpus
match their checksums. So the result equals that of an uninterrupted run.

If several processes share the work, each has its own journal and packed files, with different
names. When all journals have their end, one process writes the index (see `index`).
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hifigan_cli.data.preparation.clip import ClipTask, source_digests
from hifigan_cli.data.preparation.folder import journal_file
from hifigan_cli.data.records import Clip, FileChecksum, Rejection, checksum, to_json_line
from hifigan_cli.errors import OutputError
from hifigan_cli.io.files import is_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hifigan_cli.runtime.sharding import Shard


@dataclass(frozen=True, slots=True)
class CompletedFiles:
    """Complete packed files of one index, and the first clip that did not fit into them."""

    files: dict[str, FileChecksum]
    overflow: Clip | None


@dataclass(frozen=True, slots=True)
class JournalEnd:
    """The end of a journal: `Corpus.paths_sha256`, and all packed files."""

    paths_sha256: str
    files: dict[str, FileChecksum]


@dataclass
class ResumePoint:
    """The valid part of an earlier run, after which this run resumes.

    Attributes:
        done: number of files that are done.
        journal_bytes: length of the valid part of the journal; 0 without a first line.
        files: the packed files, by name.
    """

    done: int = 0
    journal_bytes: int = 0
    files: dict[str, FileChecksum] = field(default_factory=dict)


def find_resume_point(
    folder: Path, shard: Shard, options: dict[str, Any], tasks: Sequence[ClipTask], force: bool
) -> ResumePoint:
    """Find the last valid packed files in the journal of a shard.

    Raises:
        OutputError: the journal has other options, and `force` is not set.
    """
    point = ResumePoint()
    try:
        journal = (folder / journal_file(shard)).open("rb")
    except FileNotFoundError:
        return point
    with journal:
        first = journal.readline()
        if first != to_json_line(options):
            if first.endswith(b"\n") and not force:
                raise _options_error(folder, first, options)
            return point
        point.journal_bytes = end = len(first)
        done = 0
        for line in journal:
            end += len(line)
            entry = _parse(line)
            task = tasks[done] if done < len(tasks) else None
            if isinstance(entry, Clip | Rejection) and _is_valid(entry, task):
                done += 1
            elif (
                isinstance(entry, CompletedFiles)
                and _is_valid(entry.overflow, task)
                and all(
                    is_file(folder / name) and checksum(folder / name) == expected
                    for name, expected in entry.files.items()
                )
            ):
                point = ResumePoint(done, end, point.files | entry.files)
            else:
                break
    return point


def read_journal_records(folder: Path, shard: Shard) -> Iterator[Clip | Rejection]:
    """Read the records of a shard, in the order of the corpus."""
    with (folder / journal_file(shard)).open("rb") as journal:
        for line in journal:
            if isinstance(entry := _parse(line), Clip | Rejection):
                yield entry


def read_journal_end(folder: Path, shard: Shard, options: dict[str, Any]) -> JournalEnd | None:
    """Read the end of a journal; return None if it has none, or has other options."""
    try:
        with (folder / journal_file(shard)).open("rb") as journal:
            if journal.readline() != to_json_line(options):
                return None
            last = b""
            for line in journal:
                last = line
    except FileNotFoundError:
        return None
    entry = _parse(last)
    return entry if isinstance(entry, JournalEnd) else None


def remove_journal_end(folder: Path, shard: Shard) -> None:
    """Remove the end of a journal, if it has one."""
    with suppress(FileNotFoundError), (folder / journal_file(shard)).open("r+b") as journal:
        start, last = 0, b""
        for line in journal:
            start, last = start + len(last), line
        if isinstance(_parse(last), JournalEnd):
            journal.truncate(start)


def _parse(line: bytes) -> Clip | Rejection | CompletedFiles | JournalEnd | None:
    """Parse an entry; return None if the line is incomplete or not an entry."""
    try:
        content = json.loads(line if line.endswith(b"\n") else b"")
        if "path" in content:
            return Rejection(**content) if "reason" in content else Clip(**content)
        files = {name: FileChecksum(**value) for name, value in content.pop("files").items()}
        if "paths_sha256" in content:
            return JournalEnd(content["paths_sha256"], files)
        return CompletedFiles(files, Clip(**content["overflow"]) if content["overflow"] else None)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _is_valid(record: Clip | Rejection | None, task: ClipTask | None) -> bool:
    """Return whether a task would have the same record again, or both are None."""
    if record is None or task is None:
        return record is None and task is None
    name = record.name if isinstance(record, Clip) else task.file.name
    same = (record.path, name) == (task.file.path, task.file.name)
    return same and source_digests(task) == (record.source_sha256, record.mel_sha256)


def _options_error(folder: Path, line: bytes, options: dict[str, Any]) -> OutputError:
    try:
        before = json.loads(line)
        keys = [key for key, value in options.items() if before.get(key) != value]
    except (ValueError, AttributeError):
        keys = []
    difference = f"with other options ({', '.join(keys)})" if keys else "of another version"
    return OutputError(
        f"{folder} has an unfinished preparation {difference}", "start again with --force"
    )
