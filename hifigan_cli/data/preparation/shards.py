"""The packed shards of a run, with its journal, open for writing.

The packed shards of a shard I/N of the work have the numbers that leave I - 1 as a remainder: of
three processes the second writes the packed shards 1, 4, 7 ... So no two processes want one name.
"""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import contextmanager
from dataclasses import replace
from typing import IO, TYPE_CHECKING

from hifigan_cli.data.preparation.folder import journal_file, packed_files
from hifigan_cli.data.preparation.journal import (
    JournalEnd,
    JournalState,
    PackedShard,
    find_resume_point,
)
from hifigan_cli.data.records import Clip, FileChecksum, mels_file, samples_file, to_line
from hifigan_cli.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hifigan_cli.data.preparation.clip import ClipOutcome, ClipTask
    from hifigan_cli.data.preparation.options import PreparationOptions
    from hifigan_cli.runtime.sharding import Shard


class ShardWriter:
    """Packs clips into shards, and notes in the journal what is done.

    Attributes:
        done: how many files are settled.
    """

    def __init__(
        self, folder: Path, shard: Shard, options: PreparationOptions, point: JournalState
    ) -> None:
        """Begin at a resume point; remove what an earlier run wrote after it."""
        self.done = point.done
        self._folder, self._shard = folder, shard
        self._limit_bytes = options.shard_bytes
        self._files = dict(point.files)  # the checksums of complete files
        self._open: list[_PackedFile] = []  # the files of the shard in progress
        self._next_number = shard.number - 1
        while samples_file(self._next_number) in self._files:
            self._next_number += shard.count
        self._pending = False  # whether files were settled since the last complete shard
        for path in packed_files(folder, shard):
            if path.name not in self._files:
                path.unlink()
        path = folder / journal_file(shard)
        path.touch()
        os.truncate(path, point.journal_bytes)
        self._journal = path.open("ab")
        if not point.journal_bytes:
            _put(self._journal, to_line(options.lasting()))

    def append(self, outcome: ClipOutcome) -> None:
        """Store what became of the next file."""
        record, content = outcome.record, outcome.content
        if isinstance(record, Clip):
            sizes = zip(self._open, content, strict=False)
            if any(file.size + len(more) > self._limit_bytes for file, more in sizes):
                self._complete_shard(record)
            record = self._store(record, content)
        _put(self._journal, to_line(record))
        self._pending = True
        self.done += 1

    def finish(self, listing: str) -> None:
        """Complete the last shard; then note that every file is settled."""
        if self._pending:
            self._complete_shard(None)
        _put(self._journal, to_line(JournalEnd(listing, self._files)))
        os.fsync(self._journal.fileno())

    def close(self) -> None:
        """Close all files."""
        for file in (*(packed.stream for packed in self._open), self._journal):
            file.close()

    def _store(self, clip: Clip, content: Sequence[bytes]) -> Clip:
        """Append a clip's numbers to the shard in progress; return it with its place."""
        if not self._open:
            names = (samples_file, mels_file)[: len(content)]
            self._open = [_PackedFile(self._folder / name(self._next_number)) for name in names]
        sizes = [file.size for file in self._open]
        for file, numbers in zip(self._open, content, strict=True):
            file.append(numbers)
        clip = replace(clip, shard=self._next_number, offset=sizes[0] // 2)
        if clip.mel_frames is None:
            return clip
        return replace(clip, mel_offset=sizes[1] // (len(content[1]) // clip.mel_frames))

    def _complete_shard(self, overflow: Clip | None) -> None:
        """Bring the shard in progress to the disk; note its checksums."""
        files = {file.path.name: file.complete() for file in self._open}
        _put(self._journal, to_line(PackedShard(files, overflow)))
        self._files |= files
        if self._open:
            self._next_number += self._shard.count
        self._open = []
        self._pending = False


class _PackedFile:
    """A file under way, with its size and digest so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stream = path.open("wb")
        self.size = 0
        self._sha256 = hashlib.sha256()

    def append(self, content: bytes) -> None:
        _put(self.stream, content)
        self._sha256.update(content)
        self.size += len(content)

    def complete(self) -> FileChecksum:
        os.fsync(self.stream.fileno())
        self.stream.close()
        return FileChecksum(self.size, self._sha256.hexdigest())


@contextmanager
def open_shards(
    folder: Path, shard: Shard, options: PreparationOptions, tasks: Sequence[ClipTask]
) -> Iterator[ShardWriter]:
    """Open the packed shards of a shard of the work where an earlier run left off.

    Raises:
        OutputError: that run had other options and `force` is not set, or the file system refused.
    """
    try:
        point = find_resume_point(folder, shard, options.lasting(), tasks, options.force)
        writer = ShardWriter(folder, shard, options, point)
        try:
            yield writer
        finally:
            writer.close()
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = "make room; the same command then continues" if full else None
        raise OutputError(f"cannot write {folder}: {error.strerror}", hint) from error


def _put(file: IO[bytes], content: bytes) -> None:
    file.write(content)
    file.flush()
