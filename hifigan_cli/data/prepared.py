"""Open a prepared folder and read its samples and input mels.

Opening checks the manifest, the sizes of all files and the digest of the index; `verify` also reads
every sample. A corpus may be larger than the memory of a machine: 100 000 hours are tens of
millions of clips. So nothing is loaded: the index and the packed files are memory-mapped, which
uses only address space, and all processes of a machine share the pages.
"""

from __future__ import annotations

import hashlib
import mmap
from array import array
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
import numpy.typing as npt

from hifigan_cli.data.records import (
    CLIPS_FILE,
    MANIFEST_FILE,
    PREPARE_AGAIN_HINT,
    REJECTED_FILE,
    Clip,
    Manifest,
    Rejection,
    checksum,
    damaged_error,
    mels_file,
    parse_record,
    read_json_lines,
    read_manifest,
    samples_file,
)
from hifigan_cli.errors import InputError
from hifigan_cli.io.files import is_file, is_folder
from hifigan_cli.runtime.sharding import UNSHARDED

if TYPE_CHECKING:
    from collections.abc import Callable

    from hifigan_cli.config import MelConfig
    from hifigan_cli.runtime.sharding import Shard
    from hifigan_cli.types import AnyArray, FloatArray

# Training normalizes every clip to this peak, like the official code, unless it has an input mel.
TRAINING_PEAK = 0.95
# Each open packed file uses a file descriptor, and processes are often limited to 1024.
MAX_OPEN_FILES = 128
_FULL_SCALE = 32_768
_MAX_LISTED_CLIPS = 5  # an error message lists at most this many
# The text that `to_json_line` writes. Quotes in names are escaped, so no name contains it.
_SPLIT_FIELDS = {split: f'"split": "{split}"'.encode() for split in ("validation", "both")}


class PreparedData:
    """A prepared folder, open for reading.

    Attributes:
        folder: its path.
        manifest: the content of `prepared.json`.
        training: the training clips, in the sorted order of the corpus.
        validation: the validation clips, in the same order.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self.training: Sequence[Clip]
        self.validation: Sequence[Clip]
        self.training, self.validation = read_index(folder / CLIPS_FILE)
        self._samples = PackedFiles(lambda index: folder / samples_file(index), "<i2")
        self._mels = PackedFiles(lambda index: folder / mels_file(index), "<f4")

    @property
    def sample_rate(self) -> int:
        """Samples per second."""
        return self.manifest.sample_rate

    @property
    def has_mels(self) -> bool:
        """Whether each clip has an input mel."""
        return self.manifest.mel is not None

    @property
    def mel_config(self) -> MelConfig | None:
        """The configuration of the input mels, or None."""
        return self.manifest.mel

    @property
    def digest(self) -> str:
        """SHA-256 of the content of the folder, in hexadecimal."""
        return self.manifest.digest

    def samples(self, clip: Clip, start: int = 0, stop: int | None = None) -> FloatArray:
        """Return samples `start` to `stop` of a clip, float32 `(samples,)`, full scale 1.

        The clip is normalized to a peak of 0.95, unless it has an input mel, whose level it must
        match.

        Raises:
            InputError: the file changed since it was opened.
        """
        return (self.stored_samples(clip, start, stop) * self.scale(clip)).astype(np.float32)

    def stored_samples(
        self, clip: Clip, start: int = 0, stop: int | None = None
    ) -> npt.NDArray[np.int16]:
        """Return samples `start` to `stop` of a clip as they are stored, int16 `(samples,)`.

        The array is a read-only view of the mapped file; `samples` multiplies it by `scale`.

        Raises:
            InputError: the file changed since it was opened.
        """
        stop = clip.samples if stop is None else min(stop, clip.samples)
        first, last = clip.offset + start, clip.offset + max(start, stop)
        return self._samples.read(clip.file_index, first, last, clip.name)

    def scale(self, clip: Clip) -> float:
        """Return the factor from a clip's stored samples to its training samples."""
        return (1.0 if self.has_mels else TRAINING_PEAK / clip.peak) / _FULL_SCALE

    def input_mel(self, clip: Clip, start: int = 0, stop: int | None = None) -> FloatArray:
        """Return frames `start` to `stop` of a clip's input mel, float32 `(frames, n_mels)`.

        Raises:
            InputError: the clip has no input mel, or the file changed since it was opened.
        """
        if self.mel_config is None or clip.mel_frames is None or clip.mel_offset is None:
            raise InputError(
                f"{self.folder} has no input mels", "`hifigan preprocess --mels FOLDER` adds them"
            )
        stop = clip.mel_frames if stop is None else min(stop, clip.mel_frames)
        n_mels = self.mel_config.n_mels
        first, last = clip.mel_offset + start, clip.mel_offset + max(start, stop)
        frames = self._mels.read(clip.file_index, first * n_mels, last * n_mels, clip.name)
        return frames.reshape(-1, n_mels).copy()

    def verify(self, shard: Shard = UNSHARDED) -> None:
        """Read all files, or a shard of them, and compare each with its digest.

        Raises:
            InputError: files changed; the message lists them and the clips whose samples changed.
        """
        files = self.manifest.files
        changed = [n for n in shard.select(sorted(files)) if checksum(self.folder / n) != files[n]]
        if not changed:
            return
        clips = [
            clip.name
            for clip in read_json_lines(self.folder / CLIPS_FILE, Clip)
            if samples_file(clip.file_index) in changed
            and hashlib.sha256(self.stored_samples(clip).tobytes()).hexdigest() != clip.sha256
        ]
        names = ", ".join(clips[:_MAX_LISTED_CLIPS])
        more = ", ..." if len(clips) > _MAX_LISTED_CLIPS else ""
        message = f"{self.folder} changed since it was prepared: {', '.join(changed)}"
        message += f"; {len(clips)} clips differ: {names}{more}" if clips else ""
        raise InputError(message, PREPARE_AGAIN_HINT)


def open_prepared(folder: Path) -> PreparedData:
    """Open a folder that `hifigan preprocess` wrote.

    Raises:
        InputError: the folder is missing, unfinished or damaged.
    """
    folder = Path(folder)
    if not is_file(folder / MANIFEST_FILE):
        problem = (
            f"{folder} is not a prepared folder, or its preparation did not finish"
            if is_folder(folder)
            else f"there is no folder {folder}"
        )
        raise InputError(problem, "create one with `hifigan preprocess CORPUS`")
    manifest = read_manifest(folder)
    for name, expected in manifest.files.items():
        path = folder / name
        size = path.stat().st_size if is_file(path) else None
        if size is None:
            raise InputError(f"{path} is missing", PREPARE_AGAIN_HINT)
        if size != expected.bytes:
            problem = f"{path} has {size} bytes instead of {expected.bytes}"
            raise InputError(problem, PREPARE_AGAIN_HINT)
    for name in (CLIPS_FILE, REJECTED_FILE):
        if checksum(folder / name) != manifest.files[name]:
            raise InputError(f"{folder / name} changed since it was prepared", PREPARE_AGAIN_HINT)
    return PreparedData(folder, manifest)


def read_rejections(data: PreparedData) -> list[Rejection]:
    """Return the rejected files of the corpus."""
    return list(read_json_lines(data.folder / REJECTED_FILE, Rejection))


class ClipIndex(Sequence[Clip]):
    """The clips of an index, in its order, parsed on demand.

    Parsed clips would fill the memory of a machine once per process. So a process stores only the
    start of each line in the file, eight bytes per clip.
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
            InputError: the index changed since it was opened.
        """
        if isinstance(index, slice):
            return [self._read(start) for start in self._starts[index]]
        return self._read(self._starts[index])

    def _read(self, start: int) -> Clip:
        content = self._content
        try:
            if content is None or content.size() < len(content):  # the file became shorter
                raise damaged_error(self._path)
            return parse_record(Clip, content[start : content.find(b"\n", start)])
        except (TypeError, ValueError) as error:
            raise damaged_error(self._path) from error


def read_index(path: Path) -> tuple[ClipIndex, ClipIndex]:
    """Open an index; return its training clips and its validation clips.

    Raises:
        InputError: the index cannot be opened.
    """
    training, validation = array("q"), array("q")
    start = 0
    try:
        with path.open("rb") as stream:
            for line in stream:
                if _SPLIT_FIELDS["validation"] not in line:
                    training.append(start)
                if _SPLIT_FIELDS["validation"] in line or _SPLIT_FIELDS["both"] in line:
                    validation.append(start)
                start += len(line)
            content = _map(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    return ClipIndex(path, content, training), ClipIndex(path, content, validation)


class PackedFiles:
    """The packed files of one kind; each is mapped when a clip is first read from it."""

    def __init__(
        self,
        path_of: Callable[[int], Path],
        dtype: npt.DTypeLike,
        max_open_files: int = MAX_OPEN_FILES,
    ) -> None:
        self._path_of = path_of
        self._dtype: np.dtype[np.generic] = np.dtype(dtype)
        # Evicted mappings are not closed explicitly, because arrays may still use them.
        self._mapping = lru_cache(max_open_files)(lambda index: _map(path_of(index)))

    def read(self, index: int, start: int, stop: int, clip: str) -> AnyArray:
        """Return values `start` to `stop` of a file as a read-only view of the mapping.

        The mapping lives as long as the returned array, even if the file is evicted meanwhile.

        Raises:
            InputError: the file cannot be opened or became shorter; the message names the `clip`.
        """
        path = self._path_of(index)
        try:
            content = self._mapping(index)
            size = 0 if content is None else content.size()  # the current size
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}; {clip} cannot be read") from error
        width = self._dtype.itemsize
        # Reading a page beyond the end of the file would kill the process.
        if size < stop * width or (content is not None and len(content) < stop * width):
            raise InputError(f"{path} became shorter; {clip} is incomplete", PREPARE_AGAIN_HINT)
        return np.frombuffer(content or b"", self._dtype, stop - start, start * width)


def _map(path: Path) -> mmap.mmap | None:
    """Map a file for reading; return None for an empty file, which cannot be mapped."""
    with path.open("rb") as stream:
        if stream.seek(0, 2) == 0:
            return None
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
