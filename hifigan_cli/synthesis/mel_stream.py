"""Read mel frames that arrive over time through a pipe, and yield them at once.

There are three formats, recognized by their first bytes:

- raw little-endian float32 values, frame by frame;
- one or several `.npy` arrays: the output of `numpy.save` to a pipe, block by block;
- any other mel file format, which is read to the end first.

Raw values cannot be confused with the other formats: their first frame has plausible log-mel
values, which no header of another format has.
"""

from __future__ import annotations

import io
import select
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.lib import format as npy

from hifigan_cli.errors import DamagedError, EmptyError, InputError
from hifigan_cli.synthesis.mel_files import STDIN, open_array, orient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hifigan_cli.config import MelConfig
    from hifigan_cli.types import AnyArray

_MAGIC = b"\x93NUMPY"
_READ_BYTES = 1 << 20
_END_TIMEOUT_S = 0.05  # wait this long for the end of the stream after the first array
_LOG_MEL_RANGE = -200.0, 200.0  # covers log-mels on any scale, also in decibels
_FLOAT32 = np.dtype("<f4")


class MelStream:
    """A mel that arrives through a pipe.

    Attributes:
        frames: the total number, if it is known before the last block is yielded.
    """

    def __init__(self, stream: IO[bytes], mel: MelConfig, *, transpose: bool = False) -> None:
        """Read from a binary stream, preferably unbuffered (`sys.stdin.buffer.raw`).

        `transpose` accepts `.npy` blocks of (frames, n_mels).
        """
        self._bytes = _ByteStream(stream)
        self._n_mels, self._hop = mel.n_mels, mel.hop_length
        self._transpose = transpose
        self.frames: int | None = None

    def n_samples(self) -> int | None:
        """Return the length of the speech in samples, or None while it is unknown."""
        return None if self.frames is None else self.frames * self._hop

    def blocks(self) -> Iterator[AnyArray]:
        """Yield arrays `(n_mels, frames)` as they arrive.

        Raises:
            InputError: not a mel, truncated in a frame or block, or with the wrong axes or bands.
        """
        frame_bytes = _FLOAT32.itemsize * self._n_mels
        head = self._bytes.peek(len(_MAGIC))
        if not head:
            raise EmptyError(f"{STDIN} is empty (0 bytes)")
        if head == _MAGIC:
            yield from self._npy_blocks()
        elif _is_raw(self._bytes.peek(frame_bytes), frame_bytes):
            while content := self._bytes.read_available(frame_bytes):
                if len(content) % frame_bytes:
                    raise DamagedError(
                        f"{STDIN} ends within a frame of {self._n_mels} float32 values"
                    )
                yield np.frombuffer(content, _FLOAT32).reshape(-1, self._n_mels).T
        else:
            array = self._orient(open_array(self._bytes.read()))
            self.frames = array.shape[-1]
            yield array

    def _orient(self, array: AnyArray) -> AnyArray:
        return orient(array, STDIN, self._n_mels, transpose=self._transpose)

    def _npy_blocks(self) -> Iterator[AnyArray]:
        first = True
        while not self._bytes.at_end():
            array = self._orient(self._read_npy())
            # If the stream ends after its first block, the length is known before any output.
            if first and self._bytes.at_end(_END_TIMEOUT_S):
                self.frames = array.shape[-1]
            first = False
            yield array

    def _read_npy(self) -> AnyArray:
        """Read one `.npy` block."""
        try:
            version = npy.read_magic(self._bytes)
            read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
            shape, fortran_order, dtype = read(self._bytes)
        except (ValueError, KeyError) as error:
            summary = str(error).partition("\n")[0]
            raise InputError(f"{STDIN} has an invalid .npy block: {summary}") from error
        if dtype.hasobject:
            raise InputError(f"{STDIN} has Python objects instead of numbers")
        size = dtype.itemsize
        for length in shape:
            size *= length
        content = self._bytes.read(size)
        if len(content) < size:
            raise DamagedError(f"{STDIN} ends within a .npy block of shape {shape}")
        try:
            return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran_order else "C")
        except ValueError as error:
            raise InputError(f"{STDIN} has {dtype} values of shape {shape}") from error


def _is_raw(first: bytes, frame_bytes: int) -> bool:
    if len(first) < frame_bytes:
        return False
    values = np.frombuffer(first, _FLOAT32)
    low, high = _LOG_MEL_RANGE
    # A short header, zero-padded text, or an 8-byte length decodes to values near zero.
    plausible = np.isfinite(values).all() and low < values.min() and values.max() < high
    return bool(plausible and np.abs(values).max() > 1e-3)


class _ByteStream:
    """A byte stream with a buffer, to peek at its content and to detect its end."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self._eof = False

    def peek(self, size: int) -> bytes:
        """Wait for `size` bytes, or fewer at the end, without consuming them."""
        while len(self._buffer) < size and self._read_more():
            pass
        return bytes(self._buffer[:size])

    def read(self, size: int = -1, /) -> bytes:
        """Wait for `size` bytes, or fewer at the end; read everything by default."""
        if size < 0:
            while self._read_more():
                pass
            size = len(self._buffer)
        content = self.peek(size)
        del self._buffer[: len(content)]
        return content

    def read_available(self, multiple: int) -> bytes:
        """Wait for `multiple` bytes; return all available multiples, or all bytes at the end."""
        self.peek(multiple)
        size = len(self._buffer)
        return self.read(size if self._eof else size - size % multiple)

    def at_end(self, timeout_s: float | None = None) -> bool:
        """Return whether the stream has ended; wait at most `timeout_s` for that."""
        if self._buffer:
            return False
        if timeout_s is not None and not self._eof:
            try:
                if not select.select([self._stream], [], [], timeout_s)[0]:
                    return False
            except (OSError, ValueError, io.UnsupportedOperation):  # not a system file
                pass
        return not self._read_more()

    def _read_more(self) -> bool:
        if not self._eof:
            content = self._stream.read(_READ_BYTES)
            self._eof = not content
            self._buffer += content
        return not self._eof
