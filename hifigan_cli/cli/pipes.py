"""`-` as an input or an output."""

from __future__ import annotations

import fcntl
import io
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from hifigan_cli.audio.writing import encodable, wav_header
from hifigan_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hifigan_cli.cli.console import Console
    from hifigan_cli.types import FloatArray

PIPE = Path("-")


def is_piped(console: Console, sources: Sequence[Path], out: Path) -> bool:
    """Tell whether stdin or stdout takes part, and check that it can.

    Raises:
        UsageError: several inputs, or a stdout that is a terminal or carries JSON.
    """
    if PIPE not in (*sources, out):
        return False
    if len(sources) > 1:
        raise UsageError("a pipe takes one input", "name files and a folder instead of -")
    if out == PIPE and console.json:
        raise UsageError("stdout cannot carry both data and --json", "write to a file")
    if out == PIPE and sys.stdout.isatty():
        raise UsageError(
            "binary data is not written to a terminal", "redirect stdout, or name a file with -o"
        )
    return True


def stdin_as_it_comes() -> IO[bytes]:
    """Return stdin without a buffer: a read gives what is there."""
    stream = sys.stdin.buffer
    return stream.raw if isinstance(stream, io.BufferedReader) else stream


def source_of(path: Path) -> Path | bytes:
    """Return a path as it is, and `-` as the bytes of stdin."""
    return sys.stdin.buffer.read() if path == PIPE else path


@contextmanager
def stdout_writer(
    rate_hz: int, channels: int, length: Callable[[], int | None], *, bare: bool = False
) -> Iterator[StdoutWriter]:
    """Open stdout for samples, as 16-bit WAV or, `bare`, without its header.

    `length` says how many samples a channel there will be, if it knows when the first are there.
    """
    writer = StdoutWriter(sys.stdout.buffer, rate_hz, channels, length, bare=bare)
    yield writer
    writer.close()


class StdoutWriter:
    """Writes blocks of samples as they come; counts what it had to clip.

    The header goes out with the first samples. Where the length is not known by then, it states the
    greatest there is, which players take for "until the end"; in a file it is put right at last.
    """

    def __init__(
        self,
        stream: IO[bytes],
        rate_hz: int,
        channels: int,
        length: Callable[[], int | None],
        *,
        bare: bool,
    ) -> None:
        self.clipped = 0
        self._stream, self._rate_hz, self._channels = stream, rate_hz, channels
        self._length, self._bare = length, bare
        self._samples, self._begun = 0, False
        self._start = stream.tell() if _can_go_back(stream) else None

    def write(self, samples: FloatArray) -> None:
        """Write a block `(channels, samples)`, and let go of it at once.

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
        if not self._bare and self._start is not None:
            self._stream.seek(self._start)
            self._stream.write(self._header(self._samples))
            self._stream.seek(0, os.SEEK_END)
        self._stream.flush()

    def _begin(self) -> None:
        if not self._begun and not self._bare:
            self._stream.write(self._header(self._length()))
        self._begun = True

    def _header(self, samples: int | None) -> bytes:
        return wav_header(self._rate_hz, self._channels, samples)


def _can_go_back(stream: IO[bytes]) -> bool:
    """Tell a file whose beginning can be written anew: no pipe, and not opened by `>>`."""
    if not stream.seekable():
        return False
    try:
        return not fcntl.fcntl(stream, fcntl.F_GETFL) & os.O_APPEND
    except OSError:  # no file of the system
        return True


def write_stdout(content: bytes) -> None:
    """Write bytes to stdout, all of them."""
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
