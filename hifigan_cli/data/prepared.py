"""Opening a prepared folder.

Opening checks the manifest, the sizes of all files and the digest of the index; `verify` also reads
every sample. The packed files are mapped into memory when first read; data workers, which are
threads, share the mapping.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hifigan_cli.audio.files import is_file, is_folder
from hifigan_cli.data.records import (
    CLIPS_FILE,
    MANIFEST_FILE,
    MELS_FILE,
    REJECTED_FILE,
    SAMPLES_FILE,
    Clip,
    Manifest,
    Rejection,
    read_lines,
    read_manifest,
    seal,
)
from hifigan_cli.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hifigan_cli.audio.reading import Samples
    from hifigan_cli.config import MelConfig

# Every clip is brought to this peak for training (official code), except beside given mels.
TRAINING_PEAK = 0.95
_FULL_SCALE = 32_768
_AGAIN = "prepare the corpus again with `hifigan preprocess --force`"
_NAMED = 5  # how many damaged clips a message names


class PreparedData:
    """A prepared folder, open for reading.

    Attributes:
        folder: where it is.
        manifest: what `prepared.json` says.
        training: the clips to train on, in the corpus's sorted order.
        validation: the clips to judge by, likewise.
    """

    def __init__(self, folder: Path, manifest: Manifest, clips: Sequence[Clip]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.training: Sequence[Clip] = [c for c in clips if c.split in ("training", "both")]
        self.validation: Sequence[Clip] = [c for c in clips if c.split in ("validation", "both")]
        self._samples = _Mapped(folder / SAMPLES_FILE, np.dtype("<i2"))
        self._mels = _Mapped(folder / MELS_FILE, np.dtype("<f4"))

    @property
    def rate_hz(self) -> int:
        """Samples per second."""
        return self.manifest.rate_hz

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

    def samples(self, clip: Clip, start: int = 0, stop: int | None = None) -> Samples:
        """Return samples `start` to `stop` of a clip, float32 `(samples,)`, full scale 1.

        The whole clip's peak is brought to 0.95, unless it comes with a given mel, whose level it
        has to keep.

        Raises:
            InputError: the file was changed since it was opened.
        """
        stop = clip.samples if stop is None else min(stop, clip.samples)
        stored = self._samples.read(clip, clip.offset + start, clip.offset + max(start, stop))
        scale = 1.0 if self.has_mels else TRAINING_PEAK / clip.peak
        return (stored * (scale / _FULL_SCALE)).astype(np.float32)

    def given_mel(
        self, clip: Clip, start: int = 0, stop: int | None = None
    ) -> npt.NDArray[np.float32]:
        """Return frames `start` to `stop` of a clip's given mel, float32 `(frames, mels)`.

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
        return self._mels.read(clip, first * bands, last * bands).reshape(-1, bands).copy()

    def verify(self) -> None:
        """Read every file and compare it with its digest.

        Raises:
            InputError: lists what changed.
        """
        changed = [
            name for name, known in self.manifest.files.items() if seal(self.folder / name) != known
        ]
        if changed:
            clips = self._changed_clips() if SAMPLES_FILE in changed else []
            names = ", ".join(clips[:_NAMED]) + (", ..." if len(clips) > _NAMED else "")
            message = f"{self.folder} changed since it was prepared: {', '.join(changed)}"
            detail = f"; {len(clips)} clips differ: {names}" if clips else ""
            raise InputError(message + detail, _AGAIN)

    def _changed_clips(self) -> list[str]:
        return [
            clip.name
            for clip in read_lines(self.folder / CLIPS_FILE, Clip)
            if hashlib.sha256(
                self._samples.read(clip, clip.offset, clip.offset + clip.samples).tobytes()
            ).hexdigest()
            != clip.sha256
        ]


class _Mapped:
    """A file of numbers, mapped into memory at its first read."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self.path = path
        self.dtype = dtype
        self._opening = threading.Lock()
        self._descriptor = -1
        self._numbers: npt.NDArray[Any] | None = None

    def read(self, clip: Clip, start: int, stop: int) -> npt.NDArray[Any]:
        """Return numbers `start` to `stop`, still in the mapping.

        Raises:
            InputError: the file cannot be opened or became shorter.
        """
        try:
            numbers = self._open()
            # A page beyond the end of the file would kill the process, not raise.
            if os.fstat(self._descriptor).st_size < stop * self.dtype.itemsize:
                raise InputError(f"{self.path} became shorter; {clip.name} is cut", _AGAIN)
        except OSError as error:
            raise InputError(
                f"{self.path}: {error.strerror}; {clip.name} cannot be read"
            ) from error
        return numbers[start:stop]

    def _open(self) -> npt.NDArray[Any]:
        with self._opening:
            if self._numbers is None:
                self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
                size = os.fstat(self._descriptor).st_size
                content = (
                    mmap.mmap(self._descriptor, size, access=mmap.ACCESS_READ) if size else b""
                )
                self._numbers = np.frombuffer(content, self.dtype, size // self.dtype.itemsize)
            return self._numbers

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


def open_prepared(folder: Path) -> PreparedData:
    """Open a folder that `hifigan preprocess` made.

    Raises:
        InputError: it is missing, not finished, or not as it was written.
    """
    folder = Path(folder)
    if not is_file(folder / MANIFEST_FILE):
        raise InputError(_why_not(folder), "`hifigan preprocess CORPUS` makes one")
    manifest = read_manifest(folder)
    for name, known in manifest.files.items():
        path = folder / name
        size = path.stat().st_size if is_file(path) else None
        if size != known.bytes:
            found = "is missing" if size is None else f"has {size} bytes instead of {known.bytes}"
            raise InputError(f"{path} {found}", _AGAIN)
    for name in (CLIPS_FILE, REJECTED_FILE):
        if seal(folder / name) != manifest.files[name]:
            raise InputError(f"{folder / name} changed since it was prepared", _AGAIN)
    return PreparedData(folder, manifest, list(read_lines(folder / CLIPS_FILE, Clip)))


def rejections(data: PreparedData) -> list[Rejection]:
    """Return what the preparation left out."""
    return list(read_lines(data.folder / REJECTED_FILE, Rejection))


def _why_not(folder: Path) -> str:
    if not is_folder(folder):
        return f"there is no folder {folder}"
    return f"{folder} is not a prepared folder, or its preparation did not finish"
