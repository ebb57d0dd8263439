"""Write samples to an audio file, at once or in blocks.

Samples beyond full scale are clipped and counted, never wrapped. 16-bit samples are scaled by
32 767 and rounded, so that 1.0 becomes the highest value and not the lowest.
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
from hifigan_cli.audio.formats.streams import GuardedStream, defer_signals
from hifigan_cli.errors import InputError, OutputError, UsageError, did_you_mean
from hifigan_cli.io.files import atomic_replace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hifigan_cli.types import FloatArray

# libsndfile's Vorbis encoder puts all samples of a write on the stack, and crashes with minutes.
_ENCODE_SAMPLES = 1 << 14
_MAX_WAV_BYTES = 2**32 - 1
_HINT = "write .wav or .flac"


def to_int16(samples: FloatArray) -> npt.NDArray[np.int16]:
    """Round float samples to 16 bits, clipped to full scale.

    >>> to_int16(np.array([-2.0, -1.0, 0.0, 1.0], np.float32)).tolist()
    [-32767, -32767, 0, 32767]
    """
    return np.rint(np.clip(samples, -1, 1) * 32_767).astype(np.int16)


def clip_to_full_scale(samples: FloatArray, *, as_int16: bool) -> tuple[npt.NDArray[Any], int]:
    """Clip samples to full scale; return them, on request as int16, and how many were clipped.

    Raises:
        InputError: a sample is NaN or infinite.
    """
    if not np.isfinite(samples).all():
        raise InputError("the result was not written: it has NaN or infinite samples")
    clipped = int(np.count_nonzero(np.abs(samples) > 1))
    return to_int16(samples) if as_int16 else np.clip(samples, -1, 1), clipped


@dataclass
class AudioFileWriter:
    """An open audio file; counts the samples that it clips."""

    file: soundfile.SoundFile
    stream: GuardedStream
    clipped: int = 0

    def write(self, samples: FloatArray) -> None:
        """Append a block `(channels, samples)`.

        Raises:
            InputError: a sample is NaN or infinite.
            OSError: the file cannot be written.
        """
        block, clipped = clip_to_full_scale(samples, as_int16=self.file.subtype == "PCM_16")
        self.clipped += clipped
        for start in range(0, block.shape[1], _ENCODE_SAMPLES):
            with defer_signals():
                self.file.write(block[:, start : start + _ENCODE_SAMPLES].T)
            self.stream.check()


@contextmanager
def audio_writer(path: Path, sample_rate: int, channels: int) -> Iterator[AudioFileWriter]:
    """Open an audio file for writing in blocks; it appears only if the `with` block succeeds.

    The extension decides the format: 16-bit PCM or a lossy codec.

    Raises:
        UsageError: the extension is not supported, or its codec not with this rate or channels.
        OutputError: the file cannot be written.
    """
    container, subtype = container_for(path)
    with atomic_replace(path) as temporary, temporary.open("wb+") as stream:
        if not soundfile.check_format(container, subtype):
            raise UsageError(f"this libsndfile cannot write {subtype}", _HINT)
        guarded = GuardedStream(stream)
        try:
            with defer_signals():
                file = soundfile.SoundFile(
                    guarded, "w", sample_rate, channels, subtype, format=container
                )
        except soundfile.LibsndfileError as error:
            raise UsageError(
                f"{path}: {subtype} does not support {channels} channels at {sample_rate} Hz", _HINT
            ) from error
        try:
            try:
                yield AudioFileWriter(file, guarded)
            finally:
                with defer_signals():
                    file.close()  # writes the header
            guarded.check()
        except soundfile.LibsndfileError as error:
            raise OutputError(f"cannot write {path}: {error.error_string}") from error


def container_for(path: Path) -> Container:
    """Return the container and sample format for a file's extension.

    Raises:
        UsageError: the extension is not supported.
    """
    suffix = path.suffix.lower()
    if suffix not in WRITABLE:
        hint = did_you_mean(suffix, WRITABLE) or f"use one of {' '.join(WRITABLE)}"
        raise UsageError(
            f"{path}: cannot write audio as {suffix or 'a file without extension'}", hint
        )
    return WRITABLE[suffix]


def write_audio(path: Path | str, samples: FloatArray, sample_rate: int) -> int:
    """Write `(channels, samples)` or `(samples,)` atomically; return how many samples clipped.

    Raises:
        InputError: the samples have another shape, or are NaN or infinite.
        UsageError: the extension is not supported.
        OutputError: the file cannot be written.
    """
    block = np.atleast_2d(np.asarray(samples, np.float32))
    if block.ndim != 2:
        raise InputError(f"samples have the shape {block.shape}, not (channels, samples)")
    with audio_writer(Path(path), sample_rate, block.shape[0]) as writer:
        writer.write(block)
    return writer.clipped


def wav_header(sample_rate: int, channels: int, samples: int | None) -> bytes:
    """Return the header of a 16-bit WAV; `samples` per channel may be None if not known yet.

    For an unknown length or more than 4 GB, it states the largest possible length, which readers
    interpret as "until the end".
    """
    frame_bytes = 2 * channels
    length = _MAX_WAV_BYTES if samples is None else min(_MAX_WAV_BYTES, samples * frame_bytes)
    total = min(_MAX_WAV_BYTES, length + 36)
    form = (16, 1, channels, sample_rate, sample_rate * frame_bytes, frame_bytes, 16)
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", total, b"WAVE", b"fmt ", *form, b"data", length
    )
