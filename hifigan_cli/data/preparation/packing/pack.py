"""Shards and journal of a part, open for appending."""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from hifigan_cli.data.preparation.clip import Outcome, Ready, Task, Unfit
from hifigan_cli.data.preparation.packing.journal import Ending, Entry, to_line
from hifigan_cli.data.preparation.packing.kept import Kept, Stored, bands_of, find_kept
from hifigan_cli.data.preparation.packing.names import first_shard, journal_file, packed_files
from hifigan_cli.data.records import Clip, FileSeal, Rejection, mels_file, samples_file
from hifigan_cli.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hifigan_cli.data.preparation.corpus import Source
    from hifigan_cli.runtime.sharding import Shard


class Pack:
    """The files of a part under way.

    Attributes:
        done: how many files of the part the journal has settled.
    """

    def __init__(
        self, folder: Path, part: Shard, limit_bytes: int, bands: int, kept: Kept, stack: ExitStack
    ) -> None:
        """Open the journal and the last shard where the kept lines end; cut off what follows."""
        self.done = kept.entries
        self._folder, self._part = folder, part
        self._limit_bytes, self._bands = limit_bytes, bands
        self._stack = stack
        self._shards = kept.shards
        self._files: list[IO[bytes]] = []
        last = kept.shards[-1].shard if kept.shards else -1
        for shard, path in packed_files(folder, part):
            if shard > last or (not bands and path.name == mels_file(shard)):
                path.unlink()
        if kept.shards:
            self._open_shard()
        self._journal = stack.enter_context(
            _open_at(folder / journal_file(part), kept.journal_bytes)
        )

    def begin(self, header: dict[str, Any]) -> None:
        """Write the first line of a new journal."""
        _put(self._journal, to_line(header))

    def append(self, source: Source, outcome: Outcome) -> Clip | Rejection:
        """Store what became of the next file of the part; return its record.

        Raises:
            OutputError: the file system refused.
        """
        result = outcome.result
        stored_mel = None
        record: Clip | Rejection
        try:
            if isinstance(result, Unfit):
                record = _rejection(source, outcome, result)
            else:
                content = [result.samples.astype("<i2").tobytes()]
                if result.mel is not None:
                    content.append(result.mel.astype("<f4").tobytes())
                    stored_mel = hashlib.sha256(content[1]).hexdigest()
                record = self._store(source, outcome, result, content)
            entry = Entry(source.stem, outcome.source, outcome.mel, stored_mel, record)
            _put(self._journal, entry.to_line())
        except OSError as error:
            raise OutputError(
                f"cannot write {self._folder}: {error.strerror}",
                "make room; the same command then continues",
            ) from error
        self.done += 1
        return record

    def end(self, listing: str) -> Ending:
        """Bring everything to the disk; then say in the journal that this part is settled."""
        self._sync()
        files: dict[str, FileSeal] = {}
        for stored in self._shards:
            files |= stored.seals(self._bands)
        ending = Ending(listing, files)
        _put(self._journal, ending.to_line())
        os.fsync(self._journal.fileno())
        return ending

    def _store(
        self, source: Source, outcome: Outcome, ready: Ready, content: Sequence[bytes]
    ) -> Clip:
        """Append a clip's numbers to the shard at hand, or to a new one if that is full."""
        if not self._shards or self._would_overflow(content):
            self._sync()
            number = self._shards[-1].shard + self._part.count if self._shards else None
            self._shards.append(Stored(first_shard(self._part) if number is None else number))
            self._open_shard()
        stored = self._shards[-1]
        clip = _clip(source, outcome, ready, stored)
        for file, numbers in zip(self._files, content, strict=True):
            _put(file, numbers)
        stored.add(len(ready.samples), 0 if ready.mel is None else len(ready.mel), content)
        return clip

    def _would_overflow(self, content: Sequence[bytes]) -> bool:
        sizes = self._shards[-1].sizes(self._bands)
        return any(
            size + len(more) > self._limit_bytes for size, more in zip(sizes, content, strict=False)
        )

    def _open_shard(self) -> None:
        stored = self._shards[-1]
        sizes = stored.sizes(self._bands)
        names = (samples_file(stored.shard), mels_file(stored.shard))[: 2 if self._bands else 1]
        for file in self._files:
            file.close()
        self._files = [
            self._stack.enter_context(_open_at(self._folder / name, size))
            for name, size in zip(names, sizes, strict=False)
        ]

    def _sync(self) -> None:
        for file in self._files:
            os.fsync(file.fileno())


@contextmanager
def open_pack(
    folder: Path,
    part: Shard,
    header: dict[str, Any],
    work: Sequence[tuple[Source, Task]],
    force: bool,
) -> Iterator[Pack]:
    """Open a part's files where an earlier run with the same `header` left off, or anew.

    Raises:
        OutputError: the journal is of other options and `force` is not set, or the file system
            refused.
    """
    try:
        kept = find_kept(folder, part, header, work, force)
        with ExitStack() as stack:
            pack = Pack(folder, part, header["shard_bytes"], bands_of(header), kept, stack)
            if not kept.journal_bytes:
                pack.begin(header)
            yield pack
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror}") from error


def _clip(source: Source, outcome: Outcome, ready: Ready, stored: Stored) -> Clip:
    return Clip(
        name=source.name,
        path=source.path,
        source_bytes=ready.source.bytes,
        source_sha256=ready.source.sha256,
        source_rate_hz=ready.rate_hz,
        offset=stored.samples,
        samples=len(ready.samples),
        peak=int(np.abs(ready.samples.astype(np.int32)).max()) / 32_768,
        gain=ready.gain,
        clipped=ready.clipped,
        sha256=hashlib.sha256(ready.samples.astype("<i2").tobytes()).hexdigest(),
        mel_offset=None if ready.mel is None else stored.frames,
        mel_frames=None if ready.mel is None else len(ready.mel),
        mel_sha256=outcome.mel.sha256 if outcome.mel else None,
        shard=stored.shard,
    )


def _rejection(source: Source, outcome: Outcome, unfit: Unfit) -> Rejection:
    return Rejection(
        path=source.path,
        reason=unfit.reason,
        detail=unfit.detail,
        source_bytes=outcome.source.bytes if outcome.source else None,
        source_sha256=outcome.source.sha256 if outcome.source else None,
        mel_sha256=outcome.mel.sha256 if outcome.mel else None,
    )


def _open_at(path: Path, size: int) -> IO[bytes]:
    """Open a file to append at a size; what lies beyond is cut off."""
    path.touch()
    os.truncate(path, size)
    return path.open("ab")


def _put(file: IO[bytes], content: bytes) -> None:
    file.write(content)
    file.flush()
