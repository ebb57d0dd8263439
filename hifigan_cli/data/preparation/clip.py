"""One file -> samples ready to be stored, or the reason why not.

A task and its outcome travel between processes, so both are plain values. Nothing that a recording
holds may stop the run: what cannot be used is an outcome too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hifigan_cli.audio.levels import SILENT_PEAK, clipped_samples, swing
from hifigan_cli.audio.reading import Audio, read_audio
from hifigan_cli.audio.resampling import resample
from hifigan_cli.data.preparation import levels
from hifigan_cli.data.preparation.pairs import UnfitMelError, fit_pair, load_mel
from hifigan_cli.data.records import Reason, seal
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

    from hifigan_cli.config import MelConfig
    from hifigan_cli.types import FloatArray


# The faults of reading that are counted apart; any other is `Reason.UNREADABLE`.
_FAULTS: dict[type[InputError], Reason] = {
    EmptyError: Reason.EMPTY,
    NotAudioError: Reason.NOT_AUDIO,
    DamagedError: Reason.DAMAGED,
    NotFiniteError: Reason.NOT_FINITE,
}


@dataclass(frozen=True, slots=True)
class Task:
    """A file to prepare: where it is, what to call it in messages, and how."""

    file: Path
    path: str
    mel_file: Path | None
    mel_path: str
    mel: MelConfig
    trim: bool
    min_length_s: float


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells whether a file changed: size, digest, and for a quick look its time in ns."""

    bytes: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Ready:
    """A clip ready to be stored: int16 `(samples,)`, and with pairs float32 `(frames, mels)`."""

    source: Stamp
    samples: npt.NDArray[np.int16]
    mel: npt.NDArray[np.float32] | None
    rate_hz: int
    gain: float
    clipped: int


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why a file is left out."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task; a stamp is None where the file could not be read."""

    result: Ready | Unfit
    source: Stamp | None
    mel: Stamp | None


class _UnfitError(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.unfit = Unfit(reason, detail)


def prepare_clip(task: Task) -> Outcome:
    """Read, check, mix, resample and round one file; never raises for what the file holds."""
    source = stamp(task.file)
    mel = stamp(task.mel_file) if task.mel_file else None
    try:
        return Outcome(_prepare(task, source), source, mel)
    except _UnfitError as error:
        return Outcome(error.unfit, source, mel)
    except UnfitMelError as error:
        return Outcome(Unfit(error.reason, error.detail), source, mel)


def crashed(task: Task) -> Outcome:
    """Return the outcome of a file whose decoder took the whole process with it."""
    detail = f"{task.path}: the process that decoded it died; it is damaged, or memory is short"
    mel = stamp(task.mel_file) if task.mel_file else None
    return Outcome(Unfit(Reason.CRASHED, detail), stamp(task.file), mel)


def stamp(file: Path) -> Stamp | None:
    """Measure a file, or return None if it cannot be read."""
    try:
        open_regular(file).close()  # a FIFO would hang
        status = file.stat()
        return Stamp(status.st_size, status.st_mtime_ns, seal(file).sha256)
    except (InputError, OSError):
        return None


def _prepare(task: Task, source: Stamp | None) -> Ready:
    audio = _read(task)
    if source is None:
        raise _UnfitError(Reason.UNREADABLE, f"{task.path} changed while it was read")
    _check_length(task, audio.length_s)
    if swing(audio.samples) < SILENT_PEAK:
        raise _UnfitError(Reason.SILENT, f"{task.path} stays below -60 dB of full scale")
    clipped = clipped_samples(audio.samples)
    if clipped > levels.MAX_CLIPPED_SHARE * audio.samples.size:
        share = clipped / audio.samples.size
        raise _UnfitError(Reason.CLIPPED, f"{task.path} has {share:.1%} of its samples clipped")
    samples, mel = _at_rate(task, audio)
    _check_mixed(task, samples)
    stored, gain = levels.to_stored(samples, keep_level=mel is not None)
    return Ready(source, stored, mel, audio.rate_hz, gain, clipped)


def _at_rate(task: Task, audio: Audio) -> tuple[FloatArray, npt.NDArray[np.float32] | None]:
    """Mix to one channel at the wanted rate; trim, or cut to the frames of the given mel."""
    samples = resample(audio.mono().samples, audio.rate_hz, task.mel.rate_hz)[0]
    if task.trim:
        samples = samples[levels.sounding(samples, task.mel.rate_hz)]
    _check_length(task, len(samples) / task.mel.rate_hz)
    if task.mel_file is None:
        return samples, None
    if audio.notes:
        raise _UnfitError(
            Reason.OVER_SCALE, f"{task.path} exceeds full scale, and so its mel would not fit"
        )
    mel = load_mel(task.mel_file, task.mel_path, task.mel)
    samples, mel = fit_pair(samples, mel, task.mel_path, task.mel)
    return samples, np.ascontiguousarray(mel.T)


def _check_length(task: Task, length_s: float) -> None:
    # A clip shorter than one window has no mel worth its name, whatever was asked for.
    if length_s < max(task.min_length_s, task.mel.n_fft / task.mel.rate_hz):
        raise _UnfitError(Reason.TOO_SHORT, f"{task.path} lasts {length_s:.3f} s")


def _check_mixed(task: Task, samples: FloatArray) -> None:
    """Reject what became silent on the way, such as stereo whose channels cancel."""
    if swing(samples) < SILENT_PEAK:
        raise _UnfitError(Reason.SILENT, f"{task.path} is silent when mixed to one channel")


def _read(task: Task) -> Audio:
    try:
        return read_audio(task.file, name=task.path)
    except InputError as error:
        # The index names paths within the corpus only, so that it is the same on every machine.
        detail = error.message.replace(str(task.file), task.path)
        reason = _FAULTS.get(type(error), Reason.UNREADABLE)
        raise _UnfitError(reason, detail) from error
