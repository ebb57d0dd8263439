"""What a journal says, line by line: a header, what became of each file, and an ending.

The header holds the options, which a run that continues must share. The ending says that every file
of the part is settled, for which list of files that was, and the digests of the shards.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hifigan_cli.data.preparation.clip import Stamp
from hifigan_cli.data.preparation.packing.names import journal_file
from hifigan_cli.data.records import Clip, FileSeal, Rejection
from hifigan_cli.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from hifigan_cli.data.preparation.corpus import Source
    from hifigan_cli.runtime.sharding import Shard


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of one file, and how to tell that this still holds."""

    stem: str
    source: Stamp | None
    mel: Stamp | None
    stored_mel_sha256: str | None
    record: Clip | Rejection

    def to_line(self) -> bytes:
        """Write the entry as a line of JSON."""
        kind = "clip" if isinstance(self.record, Clip) else "rejection"
        return to_line({**asdict(self), "kind": kind})

    @classmethod
    def from_line(cls, line: bytes) -> Entry | None:
        """Read an entry, or return None if the line is none or was not written to its end."""
        try:
            content = json.loads(line)
            kind = {"clip": Clip, "rejection": Rejection}[content.pop("kind")]
            stamps = {k: content[k] and Stamp(**content[k]) for k in ("source", "mel")}
            return cls(**{**content, **stamps, "record": kind(**content["record"])})
        except (KeyError, TypeError, ValueError, AttributeError):
            return None


@dataclass(frozen=True)
class Ending:
    """Every file of a part is settled.

    Attributes:
        listing: digest of the list of all files, of which the part took its share.
        files: the seals of the part's packed files, by name.
    """

    listing: str
    files: dict[str, FileSeal]

    def to_line(self) -> bytes:
        """Write the ending as a line of JSON."""
        return to_line({**asdict(self), "kind": "end"})

    @classmethod
    def from_line(cls, line: bytes) -> Ending | None:
        """Read an ending, or return None if the line is none or was not written to its end."""
        try:
            content = json.loads(line)
            if content["kind"] != "end":
                return None
            files = {name: FileSeal(**seal) for name, seal in content["files"].items()}
            return cls(content["listing"], files)
        except (KeyError, TypeError, ValueError, AttributeError):
            return None


def read_journal(folder: Path, part: Shard) -> Iterator[Entry]:
    """Read the settled entries of a part, in the corpus's order."""
    with (folder / journal_file(part)).open("rb") as journal:
        journal.readline()
        for line in journal:
            if entry := Entry.from_line(line):
                yield entry


def read_ending(folder: Path, part: Shard, header: dict[str, Any]) -> Ending | None:
    """Read how a part ended; None if it has not, or is of other options."""
    try:
        with (folder / journal_file(part)).open("rb") as journal:
            if journal.readline() != to_line(header):
                return None
            last = b""
            for line in journal:
                last = line
    except FileNotFoundError:
        return None
    return Ending.from_line(last) if last.endswith(b"\n") else None


def withdraw_ending(folder: Path, part: Shard) -> None:
    """Cut the ending off a part's journal, if it has one."""
    try:
        with (folder / journal_file(part)).open("r+b") as journal:
            last, begins, at = b"", 0, 0
            for line in journal:
                last, begins, at = line, at, at + len(line)
            if Ending.from_line(last):
                journal.truncate(begins)
    except FileNotFoundError:
        return


def listing_digest(sources: Iterable[Source]) -> str:
    """Return the digest of a corpus's list of files."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.path.encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()


def other_options(folder: Path, line: bytes, header: dict[str, Any]) -> OutputError:
    """Say that a folder's unfinished journal begins with another header."""
    try:
        known = json.loads(line)
        keys = [key for key, value in header.items() if known.get(key) != value]
    except (ValueError, AttributeError):
        keys = []
    what = f"other options ({', '.join(keys)})" if keys else "another version"
    return OutputError(
        f"{folder} holds an unfinished preparation with {what}", "--force starts it anew"
    )


def to_line(content: dict[str, Any]) -> bytes:
    """Write values as one line of JSON."""
    return json.dumps(content).encode() + b"\n"
