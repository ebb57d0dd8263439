"""How much of an earlier run still holds."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from hifigan_cli.data.preparation.clip import Stamp, Task, stamp
from hifigan_cli.data.preparation.packing.journal import Entry, other_options, to_line
from hifigan_cli.data.preparation.packing.names import first_shard, journal_file
from hifigan_cli.data.records import Clip, FileSeal, mels_file, samples_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hifigan_cli.data.preparation.corpus import Source
    from hifigan_cli.runtime.sharding import Shard


@dataclass
class Stored:
    """How far one shard is written, with the digests of its files so far."""

    shard: int
    samples: int = 0
    frames: int = 0
    samples_sha256: Any = field(default_factory=hashlib.sha256)  # hashlib's type has no name
    mels_sha256: Any = field(default_factory=hashlib.sha256)

    def add(self, samples: int, frames: int, content: Sequence[bytes]) -> None:
        """Count a clip in: its lengths, and the bytes that each file got."""
        self.samples += samples
        self.frames += frames
        for digest, numbers in zip((self.samples_sha256, self.mels_sha256), content, strict=False):
            digest.update(numbers)

    def sizes(self, bands: int) -> tuple[int, int]:
        """Return the bytes of samples and of mels with so many bands."""
        return 2 * self.samples, 4 * bands * self.frames

    def seals(self, bands: int) -> dict[str, FileSeal]:
        """Return the seals of the shard's files, by name."""
        samples, mels = self.sizes(bands)
        seals = {samples_file(self.shard): FileSeal(samples, self.samples_sha256.hexdigest())}
        if bands:
            seals[mels_file(self.shard)] = FileSeal(mels, self.mels_sha256.hexdigest())
        return seals


@dataclass
class Kept:
    """How much of an earlier run still holds.

    Attributes:
        entries: lines of the journal, one a file.
        journal_bytes: where the last of them ends; 0 without a header.
        shards: the shards that hold their clips, in order.
    """

    entries: int = 0
    journal_bytes: int = 0
    shards: list[Stored] = field(default_factory=list)


def bands_of(header: dict[str, Any]) -> int:
    """Return the bands of the given mels; 0 where there are none."""
    return int(header["mels"]["n_mels"]) if header["mels"] else 0


def find_kept(
    folder: Path,
    part: Shard,
    header: dict[str, Any],
    work: Sequence[tuple[Source, Task]],
    force: bool,
) -> Kept:
    """Follow a part's journal as long as it says the truth.

    Raises:
        OutputError: the journal is of other options, and `force` is not set.
    """
    kept = Kept()
    try:
        journal = (folder / journal_file(part)).open("rb")
    except FileNotFoundError:
        return kept
    with journal, ExitStack() as stack:
        first = journal.readline()
        if first != to_line(header):
            if first.endswith(b"\n") and not force:
                raise other_options(folder, first, header)
            return kept
        kept.journal_bytes = journal.tell()
        reader = _Reader(folder, part, bands_of(header), kept, stack)
        for source, task in work:
            line = journal.readline()
            entry = Entry.from_line(line) if line.endswith(b"\n") else None
            if entry is None or not _still_holds(entry, source, task):
                break
            if isinstance(entry.record, Clip) and not reader.confirms(entry, entry.record):
                break
            kept.entries += 1
            kept.journal_bytes = journal.tell()
    if kept.shards and not kept.shards[-1].samples:
        kept.shards.pop()  # of its first clip nothing holds
    return kept


class _Reader:
    """Reads a part's shards beside its journal and counts what agrees."""

    def __init__(self, folder: Path, part: Shard, bands: int, kept: Kept, stack: ExitStack) -> None:
        self._folder, self._bands = folder, bands
        self._first, self._step = first_shard(part), part.count
        self._kept, self._stack = kept, stack
        self._files: list[IO[bytes]] = []

    def confirms(self, entry: Entry, clip: Clip) -> bool:
        """Read a clip's numbers; count them in if they are what the journal says."""
        if not self._turn_to(clip):
            return False
        stored = self._kept.shards[-1]
        sizes = (2 * clip.samples, 4 * self._bands * (clip.mel_frames or 0))
        content = [file.read(size) for file, size in zip(self._files, sizes, strict=False)]
        found = [hashlib.sha256(numbers).hexdigest() for numbers in content]
        expected = [clip.sha256, entry.stored_mel_sha256]
        if clip.offset != stored.samples or found != expected[: len(found)]:
            return False
        stored.add(clip.samples, clip.mel_frames or 0, content)
        return True

    def _turn_to(self, clip: Clip) -> bool:
        """Open the files of the clip's shard, if that is the shard at hand or the next."""
        shards = self._kept.shards
        if shards and clip.shard == shards[-1].shard:
            return True
        expected = shards[-1].shard + self._step if shards else self._first
        # A shard that is left behind holds its clips and nothing else.
        if clip.shard != expected or any(file.read(1) for file in self._files):
            return False
        names = (samples_file(clip.shard), mels_file(clip.shard))[: 2 if self._bands else 1]
        try:
            self._files = [
                self._stack.enter_context((self._folder / name).open("rb")) for name in names
            ]
        except FileNotFoundError:
            return False
        shards.append(Stored(clip.shard))
        return True


def _still_holds(entry: Entry, source: Source, task: Task) -> bool:
    record = entry.record
    named = record.path == source.path and entry.stem == source.stem
    renamed = isinstance(record, Clip) and record.name != source.name
    if not named or renamed or not _unchanged(entry.source, task.file):
        return False
    return task.mel_file is None or _unchanged(entry.mel, task.mel_file)


def _unchanged(known: Stamp | None, file: Path) -> bool:
    try:
        status = file.stat()
    except OSError:
        return known is None
    if known and (known.bytes, known.mtime_ns) == (status.st_size, status.st_mtime_ns):
        return True
    now = stamp(file)
    if known is None or now is None:
        return known is now
    return (known.bytes, known.sha256) == (now.bytes, now.sha256)
