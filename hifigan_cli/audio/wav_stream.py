"""Samples -> a pipe, as 16-bit WAV or without its header, in blocks as they come."""

from __future__ import annotations

import fcntl
import os
from typing import IO, TYPE_CHECKING

from hifigan_cli.audio.writing import encodable, wav_header

if TYPE_CHECKING:
    from collections.abc import Callable

    from hifigan_cli.types import FloatArray


class WavStreamWriter:
    """Writes blocks of samples as they come; counts the samples that it clips.

    The header goes out with the first samples. Where the length is not known by then, it states the
    greatest there is, which players take for "until the end"; in a file it is corrected at the end.

    Attributes:
        clipped: samples that were held at full scale.
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
        """Write to a stream; `length` gives the samples per channel once their number is known."""
        self.clipped = 0
        self._stream, self._sample_rate, self._channels = stream, sample_rate, channels
        self._length, self._raw = length, raw
        self._samples, self._begun = 0, False
        self._start = stream.tell() if _is_rewritable(stream) else None

    def write(self, samples: FloatArray) -> None:
        """Write a block `(channels, samples)` and flush it.

        Raises:
            InputError: a sample is not a number.
        """
        codes, clipped = encodable(samples, as_integers=True)
        self.clipped += clipped
        if samples.size:
            self._begin()
            self._samples += samples.shape[1]
            self._stream.write(codes.T.tobytes())
            self._stream.flush()

    def close(self) -> None:
        """Write what is missing: a header without samples, or the length into a file's."""
        self._begin()
        if not self._raw and self._start is not None:
            self._stream.seek(self._start)
            self._stream.write(wav_header(self._sample_rate, self._channels, self._samples))
            self._stream.seek(0, os.SEEK_END)
        self._stream.flush()

    def _begin(self) -> None:
        if not self._begun and not self._raw:
            self._stream.write(wav_header(self._sample_rate, self._channels, self._length()))
        self._begun = True


def _is_rewritable(stream: IO[bytes]) -> bool:
    """Tell a file whose beginning can be written again: no pipe, and not opened by `>>`."""
    if not stream.seekable():
        return False
    try:
        return not fcntl.fcntl(stream, fcntl.F_GETFL) & os.O_APPEND
    except OSError:  # not a file of the operating system
        return True
