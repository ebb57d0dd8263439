"""One file -> a clip ready to be stored, or the reason why not.

A task and its outcome travel between processes, so both are plain values. Nothing that a recording
holds may stop the run: a file that cannot be used has an outcome too.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hifigan_cli.audio.levels import SILENT_PEAK, clipped_samples, swing
from hifigan_cli.audio.reading import Audio, read_audio
from hifigan_cli.audio.resampling import resample
from hifigan_cli.data.preparation.pairs import UnfitError, fit_pair, load_mel
from hifigan_cli.data.prepared import TRAINING_PEAK
from hifigan_cli.data.records import Clip, FileChecksum, Reason, Rejection, checksum
from hifigan_cli.errors import (
    DamagedError,
    EmptyError,
    InputError,
    NotAudioError,
    NotFiniteError,
)
from hifigan_cli.io.files import open_regular

if TYPE_CHECKING:
    from pathlib import Path

    from hifigan_cli.data.preparation.corpus import Corpus, CorpusFile
    from hifigan_cli.data.preparation.options import PreparationOptions
    from hifigan_cli.runtime.sharding import Shard
    from hifigan_cli.types import DoubleArray, FloatArray

FULL_SCALE = 32_768
MAX_CLIPPED_SHARE = 0.01

TRIM_BLOCK_S = 0.01
TRIM_MARGIN_S = 0.05
TRIM_BELOW_DB = 45.0  # under the loudest block; breath and weak consonants lie above

# The faults of reading that are counted apart; any other is `Reason.UNREADABLE`.
_FAULTS: dict[type[InputError], Reason] = {
    EmptyError: Reason.EMPTY,
    NotAudioError: Reason.NOT_AUDIO,
    DamagedError: Reason.DAMAGED,
    NotFiniteError: Reason.NOT_FINITE,
}


@dataclass(frozen=True, slots=True)
class ClipTask:
    """A file to prepare: which one of the corpus in `folder`, and how."""

    file: CorpusFile
    folder: Path
    options: PreparationOptions

    @property
    def audio_file(self) -> Path:
        """The recording."""
        return self.folder / self.file.path

    @property
    def mel_name(self) -> str:
        """The name of the given mel, within the folder of mels."""
        return f"{self.file.stem}.npy"

    @property
    def mel_file(self) -> Path | None:
        """The given mel; None where recordings come without."""
        return None if self.options.mels is None else self.options.mels / self.mel_name


@dataclass(frozen=True, slots=True)
class ClipOutcome:
    """What became of a task.

    Attributes:
        record: a clip, whose place is not known yet, or a rejection.
        content: what is to be stored: the samples, int16, and with pairs the mel, float32.
    """

    record: Clip | Rejection
    content: tuple[bytes, ...] = ()


def clip_tasks(corpus: Corpus, options: PreparationOptions, shard: Shard) -> list[ClipTask]:
    """Return the tasks of a shard of the work, in the corpus's order."""
    return [ClipTask(file, corpus.folder, options) for file in shard.of(corpus.files)]


def prepare_clip(task: ClipTask) -> ClipOutcome:
    """Read, check, mix, resample and round one file; never raises for what the file holds."""
    origin = _origin(task)
    try:
        return _prepare(task, origin)
    except UnfitError as error:
        return ClipOutcome(Rejection(task.file.path, error.reason, error.detail, **origin))


def crashed(task: ClipTask) -> ClipOutcome:
    """Return the outcome of a file whose decoder took its process with it."""
    path = task.file.path
    detail = f"{path}: the process that decoded it died; it is damaged, or memory is short"
    return ClipOutcome(Rejection(path, Reason.CRASHED, detail, **_origin(task)))


def digests(task: ClipTask) -> tuple[str | None, str | None]:
    """Return the `source_sha256` and `mel_sha256` that a task's record would have now."""
    origin = _origin(task)
    return origin["source_sha256"], origin["mel_sha256"]


def sounding(samples: FloatArray, sample_rate: int) -> slice:
    """Return the part of `(samples,)` between the first and the last sound, with a margin."""
    block = max(1, round(TRIM_BLOCK_S * sample_rate))
    blocks = -(-len(samples) // block)
    padded = np.pad(samples, (0, blocks * block - len(samples)))
    energy = np.square(padded, dtype=np.float64).reshape(blocks, block).mean(axis=1)
    loud = np.flatnonzero(energy >= energy.max() * 10 ** (-TRIM_BELOW_DB / 10))
    margin = round(TRIM_MARGIN_S * sample_rate)
    return slice(
        max(0, int(loud[0]) * block - margin),
        min(len(samples), (int(loud[-1]) + 1) * block + margin),
    )


def to_stored_int16(samples: FloatArray, keep_level: bool) -> tuple[npt.NDArray[np.int16], float]:
    """Round `(samples,)`, full scale 1, to 16 bits; return them and the gain they were given.

    Samples that are 16-bit numbers already stay what they are. Others are first brought to the peak
    that training uses, so that a quiet recording of 24 bits loses nothing; `keep_level` forbids it.
    """
    scaled: DoubleArray = samples.astype(np.float64) * FULL_SCALE
    exact = np.array_equal(scaled, np.rint(scaled)) and scaled.max() < FULL_SCALE
    gain = 1.0
    if not keep_level and not exact:
        gain = TRAINING_PEAK * FULL_SCALE / float(np.abs(scaled).max())
        scaled *= gain
    return np.clip(np.rint(scaled), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16), gain


def _prepare(task: ClipTask, origin: dict[str, Any]) -> ClipOutcome:
    path = task.file.path
    audio = _read(task)
    if origin["source_sha256"] is None:
        raise UnfitError(Reason.UNREADABLE, f"{path} changed while it was read")
    _check_length(task, audio.length_s)
    if swing(audio.samples) < SILENT_PEAK:
        raise UnfitError(Reason.SILENT, f"{path} stays below -60 dB of full scale")
    clipped = clipped_samples(audio.samples)
    if clipped > MAX_CLIPPED_SHARE * audio.samples.size:
        share = clipped / audio.samples.size
        raise UnfitError(Reason.CLIPPED, f"{path} has {share:.1%} of its samples clipped")
    samples, mel = _at_rate(task, audio)
    if swing(samples) < SILENT_PEAK:  # such as stereo whose channels cancel
        raise UnfitError(Reason.SILENT, f"{path} is silent when mixed to one channel")
    stored, gain = to_stored_int16(samples, keep_level=mel is not None)
    content = [stored.astype("<i2").tobytes()]
    if mel is not None:
        content.append(mel.astype("<f4").tobytes())
    clip = Clip(
        name=task.file.name,
        path=path,
        source_sample_rate=audio.sample_rate,
        offset=0,
        samples=len(stored),
        peak=int(np.abs(stored.astype(np.int32)).max()) / FULL_SCALE,
        gain=gain,
        clipped=clipped,
        sha256=hashlib.sha256(content[0]).hexdigest(),
        mel_offset=None if mel is None else 0,
        mel_frames=None if mel is None else len(mel),
        **origin,
    )
    return ClipOutcome(clip, tuple(content))


def _at_rate(task: ClipTask, audio: Audio) -> tuple[FloatArray, FloatArray | None]:
    """Mix to one channel at the target rate; trim, or cut to the frames of the given mel.

    Returns:
        `(samples,)`, and with pairs `(frames, n_mels)`.
    """
    mel_config = task.options.mel
    samples = resample(audio.mono().samples, audio.sample_rate, mel_config.sample_rate)[0]
    if task.options.trim:
        samples = samples[sounding(samples, mel_config.sample_rate)]
    _check_length(task, len(samples) / mel_config.sample_rate)
    if task.mel_file is None:
        return samples, None
    if audio.notes:
        raise UnfitError(
            Reason.OVER_SCALE, f"{task.file.path} exceeds full scale, and so its mel would not fit"
        )
    mel = load_mel(task.mel_file, task.mel_name, mel_config)
    samples, mel = fit_pair(samples, mel, task.mel_name, mel_config)
    return samples, mel.T


def _check_length(task: ClipTask, length_s: float) -> None:
    # A clip shorter than one window has no useful mel, whatever was asked for.
    mel = task.options.mel
    if length_s < max(task.options.min_length_s, mel.n_fft / mel.sample_rate):
        raise UnfitError(Reason.TOO_SHORT, f"{task.file.path} lasts {length_s:.3f} s")


def _read(task: ClipTask) -> Audio:
    try:
        return read_audio(task.audio_file, name=task.file.path)
    except InputError as error:
        # The index names only paths within the corpus, so that it is the same on every machine.
        detail = error.message.replace(str(task.audio_file), task.file.path)
        raise UnfitError(_FAULTS.get(type(error), Reason.UNREADABLE), detail) from error


def _origin(task: ClipTask) -> dict[str, Any]:
    """Return the fields of a record that identify a task's files; None for what cannot be read."""
    source = _checksum(task.audio_file)
    mel = _checksum(task.mel_file) if task.mel_file else None
    return {
        "source_bytes": source.bytes if source else None,
        "source_sha256": source.sha256 if source else None,
        "mel_sha256": mel.sha256 if mel else None,
    }


def _checksum(file: Path) -> FileChecksum | None:
    try:
        open_regular(file).close()  # a FIFO would hang
        return checksum(file)
    except (InputError, OSError):
        return None
