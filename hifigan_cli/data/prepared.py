"""Opening a prepared folder.

Opening checks the manifest, the sizes of all files and the digest of the index; `verify` also reads
every sample. A corpus may be larger than the memory of a machine: a hundred thousand hours are tens
of millions of clips. So nothing is loaded. The index and the packed files are mapped into memory,
which costs addresses only, and all processes of a machine share their pages.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from array import array
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
import numpy.typing as npt

from hifigan_cli.data.records import (
    AGAIN,
    CLIPS_FILE,
    MANIFEST_FILE,
    REJECTED_FILE,
    Clip,
    Manifest,
    Rejection,
    checksum,
    damaged,
    mels_file,
    read_lines,
    read_manifest,
    samples_file,
)
from hifigan_cli.errors import InputError
from hifigan_cli.io.files import is_file, is_folder
from hifigan_cli.runtime.sharding import WHOLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from hifigan_cli.config import MelConfig
    from hifigan_cli.runtime.sharding import Shard
    from hifigan_cli.types import AnyArray, FloatArray

# Every clip is brought to this peak for training (official code), except next to given mels.
TRAINING_PEAK = 0.95
# Each open packed file holds a file descriptor, of which a process often has no more than 1024.
MOST_OPEN = 128
_FULL_SCALE = 32_768
_NAMED = 5  # how many damaged clips a message names
# As `to_line` writes it. Within a name a quotation mark is escaped, so this is found nowhere else.
_SPLIT = {split: f'"split": "{split}"'.encode() for split in ("validation", "both")}


class PreparedData:
    """A prepared folder, open for reading.

    Attributes:
        folder: where it is.
        manifest: the content of `prepared.json`.
        training: the clips to train on, in the corpus's sorted order.
        validation: the validation clips, likewise.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self.training: Sequence[Clip]
        self.validation: Sequence[Clip]
        self.training, self.validation = read_index(folder / CLIPS_FILE)
        self._samples = PackedFiles(lambda shard: folder / samples_file(shard), "<i2")
        self._mels = PackedFiles(lambda shard: folder / mels_file(shard), "<f4")

    @property
    def sample_rate(self) -> int:
        """Samples per second."""
        return self.manifest.sample_rate

    @property
    def has_mels(self) -> bool:
        """Whether each clip comes with a given mel."""
        return self.manifest.mel is not None

    @property
    def mel(self) -> MelConfig | None:
        """The convention of the given mels, or None."""
        return self.manifest.mel

    @property
    def digest(self) -> str:
        """SHA-256 over everything in the folder, in hexadecimal."""
        return self.manifest.digest

    def samples(self, clip: Clip, start: int = 0, stop: int | None = None) -> FloatArray:
        """Return samples `start` to `stop` of a clip, float32 `(samples,)`, full scale 1.

        The clip's peak is brought to 0.95, unless the clip comes with a given mel, whose level it
        has to keep.

        Raises:
            InputError: the file was changed since it was opened.
        """
        return (self.stored(clip, start, stop) * self.scale(clip)).astype(np.float32)

    def stored(self, clip: Clip, start: int = 0, stop: int | None = None) -> npt.NDArray[np.int16]:
        """Return samples `start` to `stop` of a clip as they are stored, int16 `(samples,)`.

        They are read-only and lie in the mapped file; `samples` multiplies them by `scale`.

        Raises:
            InputError: the file was changed since it was opened.
        """
        stop = clip.samples if stop is None else min(stop, clip.samples)
        first, last = clip.offset + start, clip.offset + max(start, stop)
        return self._samples.read(clip.shard, first, last, clip.name)

    def scale(self, clip: Clip) -> float:
        """Return what a clip's stored samples are multiplied by for training."""
        return (1.0 if self.has_mels else TRAINING_PEAK / clip.peak) / _FULL_SCALE

    def given_mel(self, clip: Clip, start: int = 0, stop: int | None = None) -> FloatArray:
        """Return frames `start` to `stop` of a clip's given mel, float32 `(frames, n_mels)`.

        Raises:
            InputError: the clip has no given mel, or the file was changed since it was opened.
        """
        if self.mel is None or clip.mel_frames is None or clip.mel_offset is None:
            raise InputError(
                f"{self.folder} holds no given mels", "`hifigan preprocess --mels FOLDER` adds them"
            )
        stop = clip.mel_frames if stop is None else min(stop, clip.mel_frames)
        bands = self.mel.n_mels
        first, last = clip.mel_offset + start, clip.mel_offset + max(start, stop)
        frames = self._mels.read(clip.shard, first * bands, last * bands, clip.name)
        return frames.reshape(-1, bands).copy()

    def verify(self, shard: Shard = WHOLE) -> None:
        """Read every file, or a shard of the files, and compare each with its digest.

        Raises:
            InputError: lists the files that changed, and the clips whose samples did.
        """
        files = self.manifest.files
        changed = [n for n in shard.of(sorted(files)) if checksum(self.folder / n) != files[n]]
        if not changed:
            return
        clips = [
            clip.name
            for clip in read_lines(self.folder / CLIPS_FILE, Clip)
            if samples_file(clip.shard) in changed
            and hashlib.sha256(self.stored(clip).tobytes()).hexdigest() != clip.sha256
        ]
        names = ", ".join(clips[:_NAMED]) + (", ..." if len(clips) > _NAMED else "")
        message = f"{self.folder} changed since it was prepared: {', '.join(changed)}"
        raise InputError(
            message + (f"; {len(clips)} clips differ: {names}" if clips else ""), AGAIN
        )


def open_prepared(folder: Path) -> PreparedData:
    """Open a folder that `hifigan preprocess` wrote.

    Raises:
        InputError: it is missing, not finished, or not as it was written.
    """
    folder = Path(folder)
    if not is_file(folder / MANIFEST_FILE):
        problem = (
            f"{folder} is not a prepared folder, or its preparation did not finish"
            if is_folder(folder)
            else f"there is no folder {folder}"
        )
        raise InputError(problem, "`hifigan preprocess CORPUS` makes one")
    manifest = read_manifest(folder)
    for name, known in manifest.files.items():
        path = folder / name
        size = path.stat().st_size if is_file(path) else None
        if size != known.bytes:
            found = "is missing" if size is None else f"has {size} bytes instead of {known.bytes}"
            raise InputError(f"{path} {found}", AGAIN)
    for name in (CLIPS_FILE, REJECTED_FILE):
        if checksum(folder / name) != manifest.files[name]:
            raise InputError(f"{folder / name} changed since it was prepared", AGAIN)
    return PreparedData(folder, manifest)


def rejections(data: PreparedData) -> list[Rejection]:
    """Return what the preparation left out."""
    return list(read_lines(data.folder / REJECTED_FILE, Rejection))


class ClipIndex(Sequence[Clip]):
    """Clips of an index, in its order; each is parsed when it is asked for.

    As objects the clips would fill a machine's memory once for each process. A process holds eight
    bytes a clip: where its line begins.
    """

    def __init__(self, path: Path, content: mmap.mmap | None, starts: array[int]) -> None:
        self._path = path
        self._content = content
        self._starts = starts

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> Clip: ...

    @overload
    def __getitem__(self, index: slice) -> list[Clip]: ...

    def __getitem__(self, index: int | slice) -> Clip | list[Clip]:
        """Read one clip, or those of a slice.

        Raises:
            InputError: the index was changed since it was opened.
        """
        if isinstance(index, slice):
            return [self._read(start) for start in self._starts[index]]
        return self._read(self._starts[index])

    def _read(self, start: int) -> Clip:
        content = self._content
        try:
            if content is None or content.size() < len(content):  # cut: its pages are gone
                raise damaged(self._path)
            return Clip(**json.loads(content[start : content.find(b"\n", start)]))
        except (TypeError, ValueError) as error:
            raise damaged(self._path) from error


def read_index(path: Path) -> tuple[ClipIndex, ClipIndex]:
    """Open an index; return its clips for training and for validation.

    Raises:
        InputError: it cannot be opened.
    """
    training, validation = array("q"), array("q")
    start = 0
    try:
        with path.open("rb") as stream:
            for line in stream:
                if _SPLIT["validation"] not in line:
                    training.append(start)
                if _SPLIT["validation"] in line or _SPLIT["both"] in line:
                    validation.append(start)
                start += len(line)
            content = _map(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    return ClipIndex(path, content, training), ClipIndex(path, content, validation)


class PackedFiles:
    """The packed files of one kind, each mapped when a clip of it is first asked for."""

    def __init__(
        self, path_of: Callable[[int], Path], dtype: npt.DTypeLike, most_open: int = MOST_OPEN
    ) -> None:
        self._path_of = path_of
        self._dtype: np.dtype[np.generic] = np.dtype(dtype)
        # What falls out is not closed by hand: what was read from it may still be in use.
        self._mapped = lru_cache(most_open)(lambda number: _map(path_of(number)))

    def read(self, number: int, start: int, stop: int, clip: str) -> AnyArray:
        """Return values `start` to `stop` of a file, read-only, still in the mapping.

        The mapping lives as long as what was returned, even when the file is closed meanwhile.

        Raises:
            InputError: the file cannot be opened or became shorter; names the `clip`.
        """
        path = self._path_of(number)
        try:
            content = self._mapped(number)
            size = 0 if content is None else content.size()  # as it is now
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}; {clip} cannot be read") from error
        width = self._dtype.itemsize
        # A page beyond the end of the file would kill the process, not raise.
        if size < stop * width or (content is not None and len(content) < stop * width):
            raise InputError(f"{path} became shorter; {clip} is cut", AGAIN)
        return np.frombuffer(content or b"", self._dtype, stop - start, start * width)


def _map(path: Path) -> mmap.mmap | None:
    """Map a file for reading; None if it is empty, which cannot be mapped."""
    with path.open("rb") as stream:
        if stream.seek(0, 2) == 0:
            return None
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
