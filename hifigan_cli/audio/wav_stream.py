"""Write blocks of samples to a pipe, as 16-bit WAV or as raw samples without a header."""

from __future__ import annotations

import fcntl
import os
from typing import IO, TYPE_CHECKING

from hifigan_cli.audio.writing import clip_to_full_scale, wav_header

if TYPE_CHECKING:
    from collections.abc import Callable

    from hifigan_cli.types import FloatArray


class WavStreamWriter:
    """Write blocks of samples as they arrive, and count the samples that are clipped.

    The header is written with the first samples. If the length is unknown at that time, the header
    states the largest possible length, which players interpret as "until the end". In a file, the
    length is corrected at the end.

    Attributes:
        clipped: number of samples clipped to full scale.
    """

    def __init__(
        self,
        stream: IO[bytes],
        sample_rate: int,
        channels: int,
        length: Callable[[], int | None],
        *,
        raw: bool = False,
    ) -> None:
        """Write to a stream; `length` returns the samples per channel, or None if unknown yet."""
        self.clipped = 0
        self._stream, self._sample_rate, self._channels = stream, sample_rate, channels
        self._length, self._raw = length, raw
        self._samples, self._header_written = 0, False
        self._start = stream.tell() if _is_rewritable(stream) else None

    def write(self, samples: FloatArray) -> None:
        """Write a block `(channels, samples)` and flush it.

        Raises:
            InputError: a sample is NaN or infinite.
        """
        pcm, clipped = clip_to_full_scale(samples, as_int16=True)
        self.clipped += clipped
        if samples.size:
            self._write_header()
            self._samples += samples.shape[1]
            self._stream.write(pcm.T.tobytes())
            self._stream.flush()

    def close(self) -> None:
        """Write the header if there were no samples, or correct the length in a file's header."""
        self._write_header()
        if not self._raw and self._start is not None:
            self._stream.seek(self._start)
            self._stream.write(wav_header(self._sample_rate, self._channels, self._samples))
            self._stream.seek(0, os.SEEK_END)
        self._stream.flush()

    def _write_header(self) -> None:
        if not self._header_written and not self._raw:
            self._stream.write(wav_header(self._sample_rate, self._channels, self._length()))
        self._header_written = True


def _is_rewritable(stream: IO[bytes]) -> bool:
    """Return whether the beginning can be overwritten: not in a pipe or a file opened by `>>`."""
    if not stream.seekable():
        return False
    try:
        return not fcntl.fcntl(stream, fcntl.F_GETFL) & os.O_APPEND
    except OSError:  # not an operating system file
        return True
