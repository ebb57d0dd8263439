"""Opening a prepared folder.

Opening checks the manifest, the sizes of all files and the digest of the index; `verify` also reads
every sample. A shard is mapped into memory when a clip of it is first read; data workers, which are
threads, share the mapping.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hifigan_cli.data.index import read_index
from hifigan_cli.data.records import (
    CLIPS_FILE,
    MANIFEST_FILE,
    REJECTED_FILE,
    Clip,
    Manifest,
    Rejection,
    read_lines,
    read_manifest,
    seal,
)
from hifigan_cli.data.shards import AGAIN, Shards
from hifigan_cli.errors import InputError
from hifigan_cli.io.files import is_file, is_folder
from hifigan_cli.runtime.sharding import WHOLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hifigan_cli.config import MelConfig
    from hifigan_cli.runtime.sharding import Shard
    from hifigan_cli.types import FloatArray

# Every clip is brought to this peak for training (official code), except beside given mels.
TRAINING_PEAK = 0.95
_FULL_SCALE = 32_768
_NAMED = 5  # how many damaged clips a message names


class PreparedData:
    """A prepared folder, open for reading.

    Attributes:
        folder: where it is.
        manifest: what `prepared.json` says.
        training: the clips to train on, in the corpus's sorted order.
        validation: the clips to judge by, likewise.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        training: Sequence[Clip],
        validation: Sequence[Clip],
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self.training = training
        self.validation = validation
        self._samples = Shards(lambda shard: folder / manifest.samples_file(shard), "<i2")
        self._mels = Shards(lambda shard: folder / manifest.mels_file(shard), "<f4")

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

    def samples(self, clip: Clip, start: int = 0, stop: int | None = None) -> FloatArray:
        """Return samples `start` to `stop` of a clip, float32 `(samples,)`, full scale 1.

        The whole clip's peak is brought to 0.95, unless it comes with a given mel, whose level it
        has to keep.

        Raises:
            InputError: the file was changed since it was opened.
        """
        return (self.stored(clip, start, stop) * self.scale(clip)).astype(np.float32)

    def stored(self, clip: Clip, start: int = 0, stop: int | None = None) -> npt.NDArray[np.int16]:
        """Return samples `start` to `stop` of a clip as they are stored, int16 `(samples,)`.

        They are read-only and lie in the mapped file; `scale` makes of them what `samples` returns.

        Raises:
            InputError: the file was changed since it was opened.
        """
        stop = clip.samples if stop is None else min(stop, clip.samples)
        first, last = clip.offset + start, clip.offset + max(start, stop)
        return self._samples.read(clip.shard, first, last, clip.name)

    def scale(self, clip: Clip) -> float:
        """Return what a clip's stored samples are multiplied by for training."""
        return (1.0 if self.has_mels else TRAINING_PEAK / clip.peak) / _FULL_SCALE

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
        frames = self._mels.read(clip.shard, first * bands, last * bands, clip.name)
        return frames.reshape(-1, bands).copy()

    def verify(self, part: Shard = WHOLE) -> None:
        """Read every file, or a part of the files, and compare each with its digest.

        Raises:
            InputError: lists the files that changed, and the clips whose samples did.
        """
        files = self.manifest.files
        changed = [n for n in part.of(sorted(files)) if seal(self.folder / n) != files[n]]
        if changed:
            clips = self._changed_clips(changed)
            names = ", ".join(clips[:_NAMED]) + (", ..." if len(clips) > _NAMED else "")
            message = f"{self.folder} changed since it was prepared: {', '.join(changed)}"
            detail = f"; {len(clips)} clips differ: {names}" if clips else ""
            raise InputError(message + detail, AGAIN)

    def _changed_clips(self, files: Sequence[str]) -> list[str]:
        """Name the clips of changed files whose samples are not those that were stored."""
        return [
            clip.name
            for clip in read_lines(self.folder / CLIPS_FILE, Clip)
            if self.manifest.samples_file(clip.shard) in files
            and hashlib.sha256(self.stored(clip).tobytes()).hexdigest() != clip.sha256
        ]


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
            raise InputError(f"{path} {found}", AGAIN)
    for name in (CLIPS_FILE, REJECTED_FILE):
        if seal(folder / name) != manifest.files[name]:
            raise InputError(f"{folder / name} changed since it was prepared", AGAIN)
    return PreparedData(folder, manifest, *read_index(folder / CLIPS_FILE))


def rejections(data: PreparedData) -> list[Rejection]:
    """Return what the preparation left out."""
    return list(read_lines(data.folder / REJECTED_FILE, Rejection))


def _why_not(folder: Path) -> str:
    if not is_folder(folder):
        return f"there is no folder {folder}"
    return f"{folder} is not a prepared folder, or its preparation did not finish"
