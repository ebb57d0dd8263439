"""The packed files and their journal, from which a killed run continues.

Each clip's numbers are appended to the packed files, and only then its line to the journal. A run
that was killed at any moment leaves at worst some numbers that no line speaks of. The next run
keeps the lines, in the corpus's order, as long as each still says the truth: the file has not
changed and the stored numbers match their digest. The rest is cut off and done again, so the end
result is the one of a run that was never disturbed.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from hifigan_cli.data.preparation.clip import Outcome, Ready, Stamp, Task, Unfit, stamp
from hifigan_cli.data.records import MELS_FILE, SAMPLES_FILE, Clip, Rejection
from hifigan_cli.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hifigan_cli.data.preparation.corpus import Source

JOURNAL_FILE = "journal.jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the journal: what became of one file, and how to tell that this still holds."""

    stem: str
    source: Stamp | None
    mel: Stamp | None
    stored_mel_sha256: str | None
    record: Clip | Rejection

    def to_line(self) -> bytes:
        """Write the entry as a line of JSON."""
        kind = "clip" if isinstance(self.record, Clip) else "rejection"
        return _line({**asdict(self), "kind": kind})

    @classmethod
    def from_line(cls, line: bytes) -> Entry | None:
        """Read an entry, or return None if the line was not written to its end."""
        try:
            content = json.loads(line)
            kind = Clip if content.pop("kind") == "clip" else Rejection
            stamps = {k: content[k] and Stamp(**content[k]) for k in ("source", "mel")}
            return cls(**{**content, **stamps, "record": kind(**content["record"])})
        except (KeyError, TypeError, ValueError, AttributeError):
            return None


class Pack:
    """The files of a preparation under way, open for appending.

    Attributes:
        done: how many files of the corpus the journal has settled.
    """

    def __init__(
        self, folder: Path, done: int, files: list[IO[bytes]], ends: tuple[int, int]
    ) -> None:
        self.folder = folder
        self.done = done
        self._samples, self._mels, self._journal = files
        self._end_samples, self._end_frames = ends

    def append(self, source: Source, outcome: Outcome) -> Clip | Rejection:
        """Store what became of the next file of the corpus; return its record.

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
                record = self._clip(source, outcome, result)
                _put(self._samples, result.samples.astype("<i2").tobytes())
                if result.mel is not None:
                    frames = result.mel.astype("<f4").tobytes()
                    stored_mel = hashlib.sha256(frames).hexdigest()
                    _put(self._mels, frames)
                    self._end_frames += len(result.mel)
                self._end_samples += len(result.samples)
            entry = Entry(source.stem, outcome.source, outcome.mel, stored_mel, record)
            _put(self._journal, entry.to_line())
        except OSError as error:
            raise OutputError(
                f"cannot write {self.folder}: {error.strerror}",
                "make room; the same command then continues",
            ) from error
        self.done += 1
        return record

    def _clip(self, source: Source, outcome: Outcome, ready: Ready) -> Clip:
        return Clip(
            name=source.name,
            path=source.path,
            source_bytes=ready.source.bytes,
            source_sha256=ready.source.sha256,
            source_rate_hz=ready.rate_hz,
            offset=self._end_samples,
            samples=len(ready.samples),
            peak=int(np.abs(ready.samples.astype(np.int32)).max()) / 32_768,
            gain=ready.gain,
            clipped=ready.clipped,
            sha256=hashlib.sha256(ready.samples.astype("<i2").tobytes()).hexdigest(),
            mel_offset=None if ready.mel is None else self._end_frames,
            mel_frames=None if ready.mel is None else len(ready.mel),
            mel_sha256=outcome.mel.sha256 if outcome.mel else None,
        )


@contextmanager
def open_pack(
    folder: Path, header: dict[str, Any], work: Sequence[tuple[Source, Task]], force: bool
) -> Iterator[Pack]:
    """Open the packed files where an earlier run with the same `header` left off, or anew.

    Raises:
        OutputError: the journal is of other options and `force` is not set, or the file system
            refused.
    """
    bands = header["mels"]["n_mels"] if header["mels"] else 0
    try:
        kept = _kept(folder, header, work, bands, force)
        with ExitStack() as stack:
            sizes = (kept.samples * 2, kept.frames * bands * 4, kept.journal_bytes)
            files = [
                stack.enter_context(_open_at(folder / name, size))
                for name, size in zip((SAMPLES_FILE, MELS_FILE, JOURNAL_FILE), sizes, strict=True)
            ]
            if not kept.journal_bytes:
                _put(files[2], _line(header))
            yield Pack(folder, kept.entries, files, (kept.samples, kept.frames))
            for file in files:
                os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror}") from error
    if not bands:
        (folder / MELS_FILE).unlink()


def read_journal(folder: Path) -> Iterator[Entry]:
    """Read the settled entries, in the corpus's order."""
    with (folder / JOURNAL_FILE).open("rb") as journal:
        journal.readline()
        for line in journal:
            if entry := Entry.from_line(line):
                yield entry


@dataclass(slots=True)
class _Kept:
    """How much of an earlier run still holds."""

    entries: int = 0
    journal_bytes: int = 0
    samples: int = 0
    frames: int = 0


def _kept(
    folder: Path,
    header: dict[str, Any],
    work: Sequence[tuple[Source, Task]],
    bands: int,
    force: bool,
) -> _Kept:
    kept = _Kept()
    with ExitStack() as stack:
        try:
            journal, samples, mels = (
                stack.enter_context((folder / name).open("rb"))
                for name in (JOURNAL_FILE, SAMPLES_FILE, MELS_FILE)
            )
        except FileNotFoundError:
            return kept
        first = journal.readline()
        if first != _line(header):
            if first.endswith(b"\n") and not force:
                raise _other_options(folder, first, header)
            return kept
        kept.journal_bytes = journal.tell()
        for source, task in work:
            line = journal.readline()
            entry = Entry.from_line(line) if line.endswith(b"\n") else None
            if entry is None or not _still_holds(entry, source, task):
                break
            if isinstance(entry.record, Clip):
                clip, frames = entry.record, entry.record.mel_frames or 0
                stored = (samples.read(clip.samples * 2), mels.read(frames * bands * 4))
                expected = (clip.sha256, entry.stored_mel_sha256 or _sha256(b""))
                if tuple(_sha256(content) for content in stored) != expected:
                    break
                kept.samples += clip.samples
                kept.frames += frames
            kept.entries += 1
            kept.journal_bytes = journal.tell()
    return kept


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


def _rejection(source: Source, outcome: Outcome, unfit: Unfit) -> Rejection:
    return Rejection(
        path=source.path,
        reason=unfit.reason,
        detail=unfit.detail,
        source_bytes=outcome.source.bytes if outcome.source else None,
        source_sha256=outcome.source.sha256 if outcome.source else None,
        mel_sha256=outcome.mel.sha256 if outcome.mel else None,
    )


def _other_options(folder: Path, line: bytes, header: dict[str, Any]) -> OutputError:
    try:
        known = json.loads(line)
        keys = [key for key, value in header.items() if known.get(key) != value]
    except (ValueError, AttributeError):
        keys = []
    what = f"other options ({', '.join(keys)})" if keys else "another version"
    return OutputError(
        f"{folder} holds an unfinished preparation with {what}", "--force starts it anew"
    )


def _open_at(path: Path, size: int) -> IO[bytes]:
    """Open a file to append at a size; what lies beyond is cut off."""
    path.touch()
    os.truncate(path, size)
    return path.open("ab")


def _put(file: IO[bytes], content: bytes) -> None:
    file.write(content)
    file.flush()


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode() + b"\n"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
