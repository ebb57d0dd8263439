"""The files and records of a prepared folder.

::

    samples-00000.i16  int16 samples of clips, one clip after another
    mels-00000.f32     only with input mels: the mels of the same clips, float32 (frames, n_mels)
    samples-00001.i16  ... and so on; numbers may be missing
    clips.jsonl        one `Clip` per line: its position, its source, its digest
    rejected.jsonl     one `Rejection` per line
    prepared.json      the manifest: rate, options, totals, size and SHA-256 of the files above

Packed files contain complete clips and stay below the configured size, unless a single clip is
larger. The index is in the sorted order of the corpus, independent of the packed files, and
training selects clips by their index.

The same corpus and options give the same bytes: no file contains a time, a path outside the corpus
or anything else that differs between two runs. (Several processes that share the work write other
packed files than one process; samples, index and order are the same.) The manifest is written last:
a folder without one is not finished. Its digest covers the manifest and, through the digests of the
other files, the complete folder.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from hifigan_cli.config import MelConfig  # noqa: TC001 - pydantic reads it
from hifigan_cli.config.files import with_current_names
from hifigan_cli.errors import InputError
from hifigan_cli.io.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _typeshed import DataclassInstance

FORMAT = 3
_READABLE = (2, 3)  # format 2 had other names for some keys
CLIPS_FILE = "clips.jsonl"
REJECTED_FILE = "rejected.jsonl"
MANIFEST_FILE = "prepared.json"
PREPARE_AGAIN_HINT = "prepare the corpus again with `hifigan preprocess --force`"

Split = Literal["training", "validation", "both"]
Record = TypeVar("Record", bound="Clip | Rejection")


class RejectionReason(StrEnum):
    """The reason why a file was rejected."""

    MISSING = "missing"
    NOT_AUDIO = "not audio"
    EMPTY = "empty"
    DAMAGED = "damaged"
    UNREADABLE = "unreadable"
    NOT_FINITE = "not finite"
    CRASHED = "decoder crashed"
    TOO_SHORT = "too short"
    SILENT = "silent"
    CLIPPED = "clipped"
    ABOVE_FULL_SCALE = "over full scale"  # only with input mels; others are scaled down
    MEL_MISSING = "mel missing"
    MEL_UNREADABLE = "mel unreadable"
    MEL_SHAPE = "mel of another shape"
    MEL_VALUES = "mel of another convention"
    MEL_MISMATCH = "mel of another clip"


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip of a prepared folder.

    Attributes:
        name: its path in the corpus without the extension.
        path: its path in the corpus, with forward slashes.
        source_bytes: size of that file.
        source_sha256: digest of that file.
        source_sample_rate: sample rate of that file.
        offset: its first sample in its packed file.
        samples: its length in samples.
        peak: its largest stored magnitude, full scale 1.
        gain: the factor applied to its samples before rounding; 1 if they are exact.
        clipped: number of clipped samples in the source.
        sha256: digest of its stored samples.
        split: training, validation, or "both" if the corpus has only one clip.
        mel_offset: the first frame of its input mel in its packed file, if it has one.
        mel_frames: length of its input mel in frames.
        mel_sha256: digest of the file of its input mel.
        file_index: index of the packed files with its samples and mel.
    """

    name: str
    path: str
    source_bytes: int
    source_sha256: str
    source_sample_rate: int
    offset: int
    samples: int
    peak: float
    gain: float
    clipped: int
    sha256: str
    split: Split = "training"
    mel_offset: int | None = None
    mel_frames: int | None = None
    mel_sha256: str | None = None
    file_index: int = 0


@dataclass(frozen=True, slots=True)
class Rejection:
    """A rejected file of the corpus.

    Attributes:
        path: its path in the corpus.
        reason: a value of `RejectionReason`.
        detail: the description of the problem.
        source_bytes: size of the file; None if it could not be read.
        source_sha256: digest of the file; None if it could not be read.
        mel_sha256: digest of the input mel's file; None if it could not be read.
    """

    path: str
    reason: str
    detail: str
    source_bytes: int | None = None
    source_sha256: str | None = None
    mel_sha256: str | None = None


@dataclass(frozen=True)
class FileChecksum:
    """Size and SHA-256 of a file of the prepared folder."""

    bytes: int
    sha256: str


class Manifest(BaseModel):
    """The content of `prepared.json`.

    Attributes:
        sample_rate: sample rate of the stored samples.
        options: the options that change the result, by name.
        mel: configuration of the input mels; None if the folder has only samples.
        totals: clips, lengths, rates, peaks and rejections.
        files: the checksums of the other files, by name.
        digest: SHA-256 of all other fields.
        format: version of the folder's layout.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sample_rate: int
    options: dict[str, Any]
    mel: MelConfig | None
    totals: dict[str, Any]
    files: dict[str, FileChecksum]
    digest: str = ""
    format: int = FORMAT

    def with_digest(self) -> Manifest:
        """Return the manifest with its digest computed."""
        return self.model_copy(update={"digest": _digest(self.model_dump())})

    def to_json(self) -> str:
        """Return the manifest as indented JSON."""
        return json.dumps(self.model_dump(), indent=2) + "\n"


def samples_file(index: int) -> str:
    """Return the name of the packed file of samples with this index."""
    return f"samples-{index:05}.i16"


def mels_file(index: int) -> str:
    """Return the name of the packed file of input mels with this index."""
    return f"mels-{index:05}.f32"


def read_manifest(folder: Path) -> Manifest:
    """Read and check `prepared.json` of a prepared folder.

    Raises:
        InputError: the manifest is missing, damaged or of another version.
    """
    path = folder / MANIFEST_FILE
    with open_regular(path) as stream:
        text = stream.read()
    try:
        content = json.loads(text)
        version = content["format"]
        if version in _READABLE:
            manifest = Manifest.model_validate(with_current_names(content))
    except (KeyError, TypeError, ValueError) as error:
        raise damaged_error(path) from error
    if version not in _READABLE:
        problem = f"{path} has format {version}, but this version reads format {FORMAT}"
        raise InputError(problem, PREPARE_AGAIN_HINT)
    if _digest(content) != manifest.digest:
        raise damaged_error(path)
    return manifest


def _digest(content: dict[str, Any]) -> str:
    """Compute the SHA-256 of a manifest's content, without its digest."""
    others = {key: value for key, value in content.items() if key != "digest"}
    return hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()


def to_json_line(content: DataclassInstance | dict[str, Any]) -> bytes:
    """Encode a record as one line of JSON; names that are not UTF-8 are preserved as escapes."""
    return json.dumps(content if isinstance(content, dict) else asdict(content)).encode() + b"\n"


def parse_record(kind: type[Record], line: bytes) -> Record:
    """Parse one line of a `.jsonl` file, of this version or an earlier one."""
    return kind(**with_current_names(json.loads(line)))


def read_json_lines(path: Path, kind: type[Record]) -> Iterator[Record]:
    """Read the records of a `.jsonl` file, one at a time.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        with path.open("rb") as stream:
            for line in stream:
                yield parse_record(kind, line)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except (TypeError, ValueError) as error:
        raise damaged_error(path) from error


def checksum(path: Path) -> FileChecksum:
    """Return a file's size and SHA-256."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return FileChecksum(stream.tell(), digest)


def damaged_error(path: Path) -> InputError:
    """Return the error for a damaged file."""
    return InputError(f"{path} is damaged", PREPARE_AGAIN_HINT)
