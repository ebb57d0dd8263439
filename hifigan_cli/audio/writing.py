"""Samples -> an audio file, at once or in blocks.

Samples beyond full scale are held at full scale and counted, never wrapped. 16-bit samples are
rounded after scaling by 32 767, so that 1.0 is the highest code and not the lowest.
"""

from __future__ import annotations

import struct
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import soundfile

from hifigan_cli.audio.formats.containers import WRITABLE, Container
from hifigan_cli.audio.formats.streams import GuardedStream, signals_held
from hifigan_cli.errors import InputError, OutputError, UsageError, closest
from hifigan_cli.io.files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hifigan_cli.types import FloatArray

# libsndfile's Vorbis encoder puts all of a write on the stack, and crashes with minutes of it.
_ENCODE_SAMPLES = 1 << 14
_ENDLESS = 2**32 - 1  # bytes
_HINT = "write .wav or .flac"


def to_int16(samples: FloatArray) -> npt.NDArray[np.int16]:
    """Round float samples to 16 bits; what lies beyond full scale is held there.

    >>> to_int16(np.array([-2.0, -1.0, 0.0, 1.0], np.float32)).tolist()
    [-32767, -32767, 0, 32767]
    """
    return np.rint(np.clip(samples, -1, 1) * 32_767).astype(np.int16)


def encodable(samples: FloatArray, *, as_integers: bool) -> tuple[npt.NDArray[Any], int]:
    """Return samples held within full scale, and how many were not; 16-bit where asked for.

    Raises:
        InputError: a sample is not a number.
    """
    if not np.isfinite(samples).all():
        raise InputError("the result has samples that are not numbers; nothing was written")
    clipped = int(np.count_nonzero(np.abs(samples) > 1))
    return to_int16(samples) if as_integers else np.clip(samples, -1, 1), clipped


@dataclass
class Writer:
    """An open audio file that takes blocks `(channels, samples)`; counts what it had to clip."""

    file: soundfile.SoundFile
    stream: GuardedStream
    clipped: int = 0

    def write(self, samples: FloatArray) -> None:
        """Append a block.

        Raises:
            InputError: a sample is not a number.
            OSError: the file system refused.
        """
        block, clipped = encodable(samples, as_integers=self.file.subtype == "PCM_16")
        self.clipped += clipped
        for start in range(0, block.shape[1], _ENCODE_SAMPLES):
            with signals_held():
                self.file.write(block[:, start : start + _ENCODE_SAMPLES].T)
            self.stream.check()


@contextmanager
def audio_writer(path: Path, sample_rate: int, channels: int) -> Iterator[Writer]:
    """Open an audio file for writing in blocks; it takes its name only when the block ends well.

    The extension decides the format: 16-bit PCM, or the lossy codec that it names.

    Raises:
        UsageError: an extension that is not written, or a rate that its codec does not have.
        OutputError: the file system refused.
    """
    container, subtype = container_of(path)
    with replacing(path) as temporary, temporary.open("wb+") as stream:
        if not soundfile.check_format(container, subtype):
            raise UsageError(f"this libsndfile cannot write {subtype}", _HINT)
        guarded = GuardedStream(stream)
        try:
            with signals_held():
                file = soundfile.SoundFile(
                    guarded, "w", sample_rate, channels, subtype, format=container
                )
        except soundfile.LibsndfileError as error:
            raise UsageError(
                f"{path}: {subtype} cannot hold {channels} channels at {sample_rate} Hz", _HINT
            ) from error
        try:
            try:
                yield Writer(file, guarded)
            finally:
                with signals_held():
                    file.close()  # writes the header
            guarded.check()
        except soundfile.LibsndfileError as error:
            raise OutputError(f"cannot write {path}: {error.error_string}") from error


def container_of(path: Path) -> Container:
    """Return how a file of this extension is written.

    Raises:
        UsageError: the extension is not one that is written.
    """
    suffix = path.suffix.lower()
    if suffix not in WRITABLE:
        hint = closest(suffix, WRITABLE) or f"one of {' '.join(WRITABLE)}"
        raise UsageError(
            f"{path}: cannot write audio as {suffix or 'a file without extension'}", hint
        )
    return WRITABLE[suffix]


def write_audio(path: Path | str, samples: FloatArray, sample_rate: int) -> int:
    """Write `(channels, samples)` or `(samples,)` to a file, atomically; return how many clipped.

    Raises:
        InputError: samples of other dimensions, or that are not numbers.
        UsageError: an extension that is not written.
        OutputError: the file system refused.
    """
    block = np.atleast_2d(np.asarray(samples, np.float32))
    if block.ndim != 2:
        raise InputError(f"samples of the shape {block.shape} are not (channels, samples)")
    with audio_writer(Path(path), sample_rate, block.shape[0]) as writer:
        writer.write(block)
    return writer.clipped


def wav_header(sample_rate: int, channels: int, samples: int | None) -> bytes:
    """Return the header of a 16-bit WAV of so many samples a channel; None: not known yet.

    Of an unknown length, and of more than 4 GB, it states the greatest length that it can, which
    readers take for "until the end".
    """
    frame_bytes = 2 * channels
    length = _ENDLESS if samples is None else min(_ENDLESS, samples * frame_bytes)
    total = min(_ENDLESS, length + 36)
    form = (16, 1, channels, sample_rate, sample_rate * frame_bytes, frame_bytes, 16)
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", total, b"WAVE", b"fmt ", *form, b"data", length
    )
