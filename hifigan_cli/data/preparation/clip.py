"""Convert one file to a clip to store, or to a rejection with its reason.

Tasks and outcomes are sent between processes, so both are plain values. An unusable file must
not stop the run, so it yields a rejection.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hifigan_cli.audio.levels import SILENT_PEAK, count_clipped, peak_without_offset
from hifigan_cli.audio.reading import Audio, read_audio
from hifigan_cli.audio.resampling import resample
from hifigan_cli.data.preparation.pairs import RejectedError, align_pair, load_mel
from hifigan_cli.data.prepared import TRAINING_PEAK
from hifigan_cli.data.records import Clip, FileChecksum, Rejection, RejectionReason, checksum
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
MAX_CLIPPED_FRACTION = 0.01

TRIM_BLOCK_S = 0.01
TRIM_MARGIN_S = 0.05
TRIM_BELOW_DB = 45.0  # below the loudest block; breath and weak consonants are louder

# The reason for each error of reading; for any other error it is `RejectionReason.UNREADABLE`.
_REJECTION_REASONS: dict[type[InputError], RejectionReason] = {
    EmptyError: RejectionReason.EMPTY,
    NotAudioError: RejectionReason.NOT_AUDIO,
    DamagedError: RejectionReason.DAMAGED,
    NotFiniteError: RejectionReason.NOT_FINITE,
}


@dataclass(frozen=True, slots=True)
class ClipTask:
    """A file to prepare, with the folder of its corpus and the options."""

    file: CorpusFile
    folder: Path
    options: PreparationOptions

    @property
    def audio_file(self) -> Path:
        """The path of the recording."""
        return self.folder / self.file.path

    @property
    def mel_name(self) -> str:
        """The path of the input mel, relative to the folder of mels."""
        return f"{self.file.stem}.npy"

    @property
    def mel_file(self) -> Path | None:
        """The path of the input mel; None without input mels."""
        return None if self.options.mels is None else self.options.mels / self.mel_name


@dataclass(frozen=True, slots=True)
class ClipOutcome:
    """The outcome of a task.

    Attributes:
        record: a clip, whose position in the packed files is not known yet, or a rejection.
        content: the bytes to store: the int16 samples and, with input mels, the float32 mel.
    """

    record: Clip | Rejection
    content: tuple[bytes, ...] = ()


def clip_tasks(corpus: Corpus, options: PreparationOptions, shard: Shard) -> list[ClipTask]:
    """Return the tasks of a shard, in the order of the corpus."""
    return [ClipTask(file, corpus.folder, options) for file in shard.select(corpus.files)]


def prepare_clip(task: ClipTask) -> ClipOutcome:
    """Read, check, mix, resample and round one file; return a rejection for unusable content."""
    source_fields = _source_fields(task)
    try:
        return _prepare(task, source_fields)
    except RejectedError as error:
        return ClipOutcome(Rejection(task.file.path, error.reason, error.detail, **source_fields))


def crash_outcome(task: ClipTask) -> ClipOutcome:
    """Return the outcome of a file whose decoder crashed the process."""
    path = task.file.path
    detail = f"{path}: the decoder process crashed; the file is damaged, or memory ran out"
    return ClipOutcome(Rejection(path, RejectionReason.CRASHED, detail, **_source_fields(task)))


def source_digests(task: ClipTask) -> tuple[str | None, str | None]:
    """Return the current `source_sha256` and `mel_sha256` of a task's files."""
    source_fields = _source_fields(task)
    return source_fields["source_sha256"], source_fields["mel_sha256"]


def nonsilent_slice(samples: FloatArray, sample_rate: int) -> slice:
    """Return the range of `(samples,)` without leading and trailing silence, with a margin."""
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
    """Round `(samples,)`, full scale 1, to 16 bits; return them and the applied gain.

    Exact 16-bit samples stay unchanged. Unless `keep_level` is set, others are first normalized to
    the training peak, so that a quiet 24-bit recording keeps its precision.
    """
    scaled: DoubleArray = samples.astype(np.float64) * FULL_SCALE
    exact = np.array_equal(scaled, np.rint(scaled)) and scaled.max() < FULL_SCALE
    gain = 1.0
    if not keep_level and not exact:
        gain = TRAINING_PEAK * FULL_SCALE / float(np.abs(scaled).max())
        scaled *= gain
    return np.clip(np.rint(scaled), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16), gain


def _prepare(task: ClipTask, source_fields: dict[str, Any]) -> ClipOutcome:
    path = task.file.path
    audio = _read(task)
    if source_fields["source_sha256"] is None:
        raise RejectedError(RejectionReason.UNREADABLE, f"{path} changed while it was read")
    _check_length(task, audio.length_s)
    if peak_without_offset(audio.samples) < SILENT_PEAK:
        raise RejectedError(RejectionReason.SILENT, f"{path} stays below -60 dB of full scale")
    clipped = count_clipped(audio.samples)
    if clipped > MAX_CLIPPED_FRACTION * audio.samples.size:
        detail = f"{clipped / audio.samples.size:.1%} of the samples of {path} are clipped"
        raise RejectedError(RejectionReason.CLIPPED, detail)
    samples, mel = _convert(task, audio)
    if peak_without_offset(samples) < SILENT_PEAK:  # for example, stereo channels that cancel
        raise RejectedError(RejectionReason.SILENT, f"{path} is silent when mixed to one channel")
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
        **source_fields,
    )
    return ClipOutcome(clip, tuple(content))


def _convert(task: ClipTask, audio: Audio) -> tuple[FloatArray, FloatArray | None]:
    """Mix to one channel at the target rate; trim silence, or cut to the frames of the input mel.

    Returns:
        `(samples,)` and, with an input mel, `(frames, n_mels)`.
    """
    mel_config = task.options.mel
    samples = resample(audio.mono().samples, audio.sample_rate, mel_config.sample_rate)[0]
    if task.options.trim:
        samples = samples[nonsilent_slice(samples, mel_config.sample_rate)]
    _check_length(task, len(samples) / mel_config.sample_rate)
    if task.mel_file is None:
        return samples, None
    if audio.notes:
        raise RejectedError(
            RejectionReason.ABOVE_FULL_SCALE,
            f"{task.file.path} exceeds full scale, so its scaled samples would not match the mel",
        )
    mel = load_mel(task.mel_file, task.mel_name, mel_config)
    samples, mel = align_pair(samples, mel, task.mel_name, mel_config)
    return samples, mel.T


def _check_length(task: ClipTask, length_s: float) -> None:
    # A clip shorter than one window has no useful mel, whatever the option.
    mel = task.options.mel
    if length_s < max(task.options.min_length_s, mel.n_fft / mel.sample_rate):
        raise RejectedError(RejectionReason.TOO_SHORT, f"{task.file.path} lasts {length_s:.3f} s")


def _read(task: ClipTask) -> Audio:
    try:
        return read_audio(task.audio_file, name=task.file.path)
    except InputError as error:
        # The records contain only paths relative to the corpus, to be equal on every machine.
        detail = error.message.replace(str(task.audio_file), task.file.path)
        reason = _REJECTION_REASONS.get(type(error), RejectionReason.UNREADABLE)
        raise RejectedError(reason, detail) from error


def _source_fields(task: ClipTask) -> dict[str, Any]:
    """Return the record fields that identify a task's files; None for an unreadable file."""
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
