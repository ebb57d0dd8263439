"""Mel frames that arrive over time through a pipe, handed on as they come.

Three forms, told apart by their first bytes:

- bare float32 numbers, little-endian, the mels of one frame after those of another;
- `.npy`, one or several after another: what `numpy.save` writes to a pipe, block by block;
- anything else that a mel file may be: it is read to the end first.

Bare numbers can be taken for nothing else: the first frame holds log-mels of possible levels, which
no header of the other forms gives.
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
_GRACE_S = 0.05  # how long an end that follows at once may take
_POSSIBLE = -200.0, 200.0  # of bare numbers: log-mels on any scale, also decibels
_NUMBER = np.dtype("<f4")


class MelStream:
    """A mel that comes through a pipe.

    Attributes:
        frames: how many there are in all, once this is known before the last has been handed on.
    """

    def __init__(self, stream: IO[bytes], mel: MelConfig, *, transpose: bool = False) -> None:
        """Take a binary stream; the best is unbuffered (`sys.stdin.buffer.raw`).

        `transpose` takes `.npy` blocks of (frames, mels).
        """
        self._bytes = _ByteStream(stream)
        self._n_mels, self._hop = mel.n_mels, mel.hop_length
        self._transpose = transpose
        self.frames: int | None = None

    def samples(self) -> int | None:
        """Return how many samples of speech the mel gives, once its length is known."""
        return None if self.frames is None else self.frames * self._hop

    def blocks(self) -> Iterator[AnyArray]:
        """Yield arrays `(n_mels, frames)` as they arrive.

        Raises:
            InputError: not a mel, cut within a frame or block, or of other axes or bands.
        """
        frame_bytes = _NUMBER.itemsize * self._n_mels
        head = self._bytes.peek(len(_MAGIC))
        if not head:
            raise EmptyError(f"{STDIN} is empty (0 bytes)")
        if head == _MAGIC:
            yield from self._npy_blocks()
        elif _is_bare(self._bytes.peek(frame_bytes), frame_bytes):
            while content := self._bytes.read_available(frame_bytes):
                if len(content) % frame_bytes:
                    raise DamagedError(
                        f"{STDIN} ends within a frame of {self._n_mels} float32 numbers"
                    )
                yield np.frombuffer(content, _NUMBER).reshape(-1, self._n_mels).T
        else:
            array = self._orient(open_array(self._bytes.read()))
            self.frames = array.shape[-1]
            yield array

    def _orient(self, array: AnyArray) -> AnyArray:
        return orient(array, STDIN, self._n_mels, transpose=self._transpose)

    def _npy_blocks(self) -> Iterator[AnyArray]:
        first = True
        while not self._bytes.at_end():
            array = self._orient(self._npy())
            # Of a single block that ends the stream the length is known before any sample is out.
            if first and self._bytes.at_end(_GRACE_S):
                self.frames = array.shape[-1]
            first = False
            yield array

    def _npy(self) -> AnyArray:
        """Read one `.npy` block."""
        try:
            version = npy.read_magic(self._bytes)
            read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
            shape, in_columns, dtype = read(self._bytes)
        except (ValueError, KeyError) as error:
            summary = str(error).partition("\n")[0]
            raise InputError(f"{STDIN} holds no further .npy block: {summary}") from error
        if dtype.hasobject:
            raise InputError(f"{STDIN} holds Python objects, a mel holds numbers")
        size = dtype.itemsize
        for length in shape:
            size *= length
        content = self._bytes.read(size)
        if len(content) < size:
            raise DamagedError(f"{STDIN} ends within a .npy block of the shape {shape}")
        try:
            return np.frombuffer(content, dtype).reshape(shape, order="F" if in_columns else "C")
        except ValueError as error:
            raise InputError(f"{STDIN} holds {dtype} values of the shape {shape}") from error


def _is_bare(first: bytes, frame_bytes: int) -> bool:
    if len(first) < frame_bytes:
        return False
    values = np.frombuffer(first, _NUMBER)
    low, high = _POSSIBLE
    # A small header, zero-padded text, or a length in 8 bytes gives numbers next to zero.
    within = np.isfinite(values).all() and low < values.min() and values.max() < high
    return bool(within and np.abs(values).max() > 1e-3)


class _ByteStream:
    """A stream of bytes that can be asked for what is there, and whether more comes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._held = bytearray()
        self._over = False

    def peek(self, size: int) -> bytes:
        """Wait for `size` bytes, fewer at the end, and leave them in the stream."""
        while len(self._held) < size and self._more():
            pass
        return bytes(self._held[:size])

    def read(self, size: int = -1, /) -> bytes:
        """Wait for `size` bytes, fewer at the end; without a size for everything."""
        if size < 0:
            while self._more():
                pass
            size = len(self._held)
        content = self.peek(size)
        del self._held[: len(content)]
        return content

    def read_available(self, multiple: int) -> bytes:
        """Wait for `multiple` bytes; return as many times that as are there, at the end all."""
        self.peek(multiple)
        held = len(self._held)
        return self.read(held if self._over else held - held % multiple)

    def at_end(self, within_s: float | None = None) -> bool:
        """Tell whether there is nothing more, waiting for it no longer than `within_s`."""
        if self._held:
            return False
        if within_s is not None and not self._over:
            try:
                if not select.select([self._stream], [], [], within_s)[0]:
                    return False
            except (OSError, ValueError, io.UnsupportedOperation):  # not a file of the system
                pass
        return not self._more()

    def _more(self) -> bool:
        if not self._over:
            content = self._stream.read(_READ_BYTES)
            self._over = not content
            self._held += content
        return not self._over
