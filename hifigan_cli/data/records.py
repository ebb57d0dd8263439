"""What a prepared folder holds.

::

    samples-00000.i16  int16 samples of the clips of shard 0, one clip after another
    mels-00000.f32     only for pairs: their given mels, float32 (frames, n_mels), likewise
    samples-00001.i16  ... and so on; numbers may be left out
    clips.jsonl        one `Clip` a line: where it lies, where it came from, its digest
    rejected.jsonl     one `Rejection` a line
    prepared.json      the manifest: rate, options, totals, size and SHA-256 of the files above

Both kinds of a shard's files hold whole clips and stay below the size that was asked for, unless
a single clip is larger. The index is in the corpus's sorted order whatever lies in which shard, and
everything that training draws follows the index.

The same corpus and options give the same bytes: nothing here holds a time, a path of the machine or
anything else that differs between two runs. (Several processes that share the work write other
shards than one process; samples, index and order are the same.) The manifest is written last: a
folder without one is not finished. It carries a digest of itself, and so, through the digests of
the other files, of everything.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from hifigan_cli.config import MelConfig  # noqa: TC001 - pydantic reads it
from hifigan_cli.errors import InputError
from hifigan_cli.io.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _typeshed import DataclassInstance

FORMAT = 2
CLIPS_FILE = "clips.jsonl"
REJECTED_FILE = "rejected.jsonl"
MANIFEST_FILE = "prepared.json"
AGAIN = "prepare the corpus again with `hifigan preprocess --force`"

Split = Literal["training", "validation", "both"]
Record = TypeVar("Record", bound="Clip | Rejection")


class Reason(StrEnum):
    """Why a file was left out."""

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
    OVER_SCALE = "over full scale"  # pairs only: elsewhere it is scaled to fit
    MEL_MISSING = "mel missing"
    MEL_UNREADABLE = "mel unreadable"
    MEL_SHAPE = "mel of another shape"
    MEL_VALUES = "mel of another convention"
    MEL_FOREIGN = "mel of another clip"


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip of a prepared folder.

    Attributes:
        name: its path in the corpus without the extension.
        path: its path in the corpus, with forward slashes.
        source_bytes: size of that file.
        source_sha256: digest of that file.
        source_sample_rate: the rate it was recorded at.
        offset: its first sample in its shard.
        samples: its length in samples.
        peak: its greatest magnitude as stored, full scale 1.
        gain: what its samples were multiplied by before they were rounded; 1 if they are exact.
        clipped: samples of the source that are held at its full scale.
        sha256: digest of its stored samples.
        split: which part of the data it belongs to; "both" where there is only one clip.
        mel_offset: the first frame of its given mel in its shard, if there is one.
        mel_frames: that mel's length in frames.
        mel_sha256: digest of the file it came from.
        shard: the number of the shard that holds its samples and mel.
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
    shard: int = 0


@dataclass(frozen=True, slots=True)
class Rejection:
    """A file of the corpus that was left out.

    Attributes:
        path: its path in the corpus.
        reason: why, in one of the words of `Reason`.
        detail: a sentence.
        source_bytes: size of the file, None where it could not be read.
        source_sha256: digest of the file, likewise.
        mel_sha256: digest of the given mel's file, likewise.
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
        sample_rate: rate of the stored samples.
        options: what the user chose that changes the result, by name.
        mel: convention of the given mels; None if the folder holds only samples.
        totals: clips, lengths, rates, peaks and rejections.
        files: the checksums of the other files, by name.
        digest: SHA-256 of all of the above.
        format: the layout of the folder.
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
        content = json.dumps(self.model_dump(exclude={"digest"}), sort_keys=True)
        return self.model_copy(update={"digest": hashlib.sha256(content.encode()).hexdigest()})

    def to_json(self) -> str:
        """Write the manifest as JSON that people can read too."""
        return json.dumps(self.model_dump(), indent=2) + "\n"


def samples_file(shard: int) -> str:
    """Name the file of a shard's samples."""
    return f"samples-{shard:05}.i16"


def mels_file(shard: int) -> str:
    """Name the file of a shard's given mels."""
    return f"mels-{shard:05}.f32"


def read_manifest(folder: Path) -> Manifest:
    """Read and check `prepared.json` of a prepared folder.

    Raises:
        InputError: there is none, or it is damaged or of another version.
    """
    path = folder / MANIFEST_FILE
    with open_regular(path) as stream:
        text = stream.read()
    try:
        content = json.loads(text)
        version = content["format"]
        if version == FORMAT:
            manifest = Manifest.model_validate(content)
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path) from error
    if version != FORMAT:
        raise InputError(f"{path} has format {version}, this version reads format {FORMAT}", AGAIN)
    if manifest.with_digest().digest != manifest.digest:
        raise damaged(path)
    return manifest


def to_line(content: DataclassInstance | dict[str, Any]) -> bytes:
    """Write a record as one line of JSON; names that are not UTF-8 survive as escapes."""
    return json.dumps(content if isinstance(content, dict) else asdict(content)).encode() + b"\n"


def read_lines(path: Path, kind: type[Record]) -> Iterator[Record]:
    """Read the records of a `.jsonl` file, one at a time.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        with path.open("rb") as stream:
            for line in stream:
                yield kind(**json.loads(line))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except (TypeError, ValueError) as error:
        raise damaged(path) from error


def checksum(path: Path) -> FileChecksum:
    """Return a file's size and SHA-256."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return FileChecksum(stream.tell(), digest)


def damaged(path: Path) -> InputError:
    """Return the error for a file that is not as it was written."""
    return InputError(f"{path} is damaged", AGAIN)
