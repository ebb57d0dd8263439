"""Write the packed files of a run, and its journal.

The clips are packed into files of samples and, with input mels, files of mels with the same index.
Shard I/N writes the packed files whose index modulo N is I - 1: of three processes the second
writes the files 1, 4, 7 ... So no two processes use the same name.
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
    CompletedFiles,
    JournalEnd,
    ResumePoint,
    find_resume_point,
)
from hifigan_cli.data.records import Clip, FileChecksum, mels_file, samples_file, to_json_line
from hifigan_cli.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hifigan_cli.data.preparation.clip import ClipOutcome, ClipTask
    from hifigan_cli.data.preparation.options import PreparationOptions
    from hifigan_cli.runtime.sharding import Shard


class PackedFileWriter:
    """Pack clips into files; record the progress in the journal.

    Attributes:
        done: number of files that are done.
    """

    def __init__(
        self, folder: Path, shard: Shard, options: PreparationOptions, point: ResumePoint
    ) -> None:
        """Start at a resume point; remove what an earlier run wrote after it."""
        self.done = point.done
        self._folder, self._shard = folder, shard
        self._max_bytes = options.max_file_bytes
        self._files = dict(point.files)  # the checksums of complete files
        self._open_files: list[_PackedFile] = []  # the files in progress
        self._next_index = shard.number - 1
        while samples_file(self._next_index) in self._files:
            self._next_index += shard.count
        self._pending = False  # whether files were added since the last completed files
        for path in packed_files(folder, shard):
            if path.name not in self._files:
                path.unlink()
        path = folder / journal_file(shard)
        path.touch()
        os.truncate(path, point.journal_bytes)
        self._journal = path.open("ab")
        if not point.journal_bytes:
            _write(self._journal, to_json_line(options.result_options()))

    def append(self, outcome: ClipOutcome) -> None:
        """Store the outcome of the next file."""
        record, content = outcome.record, outcome.content
        if isinstance(record, Clip):
            added = zip(self._open_files, content, strict=False)
            if any(file.size + len(data) > self._max_bytes for file, data in added):
                self._complete_files(record)
            record = self._store(record, content)
        _write(self._journal, to_json_line(record))
        self._pending = True
        self.done += 1

    def finish(self, paths_sha256: str) -> None:
        """Complete the last packed files; write the end of the journal."""
        if self._pending:
            self._complete_files(None)
        _write(self._journal, to_json_line(JournalEnd(paths_sha256, self._files)))
        os.fsync(self._journal.fileno())

    def close(self) -> None:
        """Close all files."""
        for file in (*(packed.stream for packed in self._open_files), self._journal):
            file.close()

    def _store(self, clip: Clip, content: Sequence[bytes]) -> Clip:
        """Append a clip's content to the files in progress; return the clip with its position."""
        if not self._open_files:
            names = (samples_file, mels_file)[: len(content)]
            self._open_files = [
                _PackedFile(self._folder / name(self._next_index)) for name in names
            ]
        sizes = [file.size for file in self._open_files]
        for file, data in zip(self._open_files, content, strict=True):
            file.append(data)
        clip = replace(clip, file_index=self._next_index, offset=sizes[0] // 2)
        if clip.mel_frames is None:
            return clip
        return replace(clip, mel_offset=sizes[1] // (len(content[1]) // clip.mel_frames))

    def _complete_files(self, overflow: Clip | None) -> None:
        """Flush the files in progress to disk; write their checksums to the journal."""
        files = {file.path.name: file.complete() for file in self._open_files}
        _write(self._journal, to_json_line(CompletedFiles(files, overflow)))
        self._files |= files
        if self._open_files:
            self._next_index += self._shard.count
        self._open_files = []
        self._pending = False


class _PackedFile:
    """A file in progress, with its current size and digest."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stream = path.open("wb")
        self.size = 0
        self._sha256 = hashlib.sha256()

    def append(self, content: bytes) -> None:
        _write(self.stream, content)
        self._sha256.update(content)
        self.size += len(content)

    def complete(self) -> FileChecksum:
        os.fsync(self.stream.fileno())
        self.stream.close()
        return FileChecksum(self.size, self._sha256.hexdigest())


@contextmanager
def open_packed_files(
    folder: Path, shard: Shard, options: PreparationOptions, tasks: Sequence[ClipTask]
) -> Iterator[PackedFileWriter]:
    """Open a writer for a shard at the point where an earlier run stopped.

    Raises:
        OutputError: that run had other options and `force` is not set, or writing failed.
    """
    try:
        point = find_resume_point(folder, shard, options.result_options(), tasks, options.force)
        writer = PackedFileWriter(folder, shard, options, point)
        try:
            yield writer
        finally:
            writer.close()
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = "free disk space, then run the same command to continue" if full else None
        raise OutputError(f"cannot write {folder}: {error.strerror}", hint) from error


def _write(file: IO[bytes], content: bytes) -> None:
    file.write(content)
    file.flush()
