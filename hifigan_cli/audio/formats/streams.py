"""Streams that libsndfile's C code reads and writes through.

An exception cannot pass through C: soundfile would print its traceback, and libsndfile would take
the failed call for the end of the file. So the stream keeps the error, and the caller raises it;
signals, whose handlers raise wherever they come, wait until C has returned.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def signals_held() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back for the length of a block, a short one that calls libsndfile."""
    with _held(signal.SIGINT), _held(signal.SIGTERM):
        yield


@contextmanager
def _held(number: signal.Signals) -> Iterator[None]:
    handler = signal.getsignal(number)
    # Python runs handlers in the main thread only; a default without one ends the process at once.
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    signal.signal(number, lambda which, _frame: came.append(which))
    try:
        yield
    finally:
        signal.signal(number, handler)
        if came:
            signal.raise_signal(number)


class GuardedStream:
    """A binary stream whose first failure is kept, as `error`, until `check` raises it.

    `header` is read in place of the stream's first bytes.
    """

    def __init__(self, stream: IO[bytes], header: bytes = b"") -> None:
        self._stream = stream
        self._header = header
        self.error: OSError | None = None

    def check(self) -> None:
        """Raise the failure that C code could not.

        Raises:
            OSError: a call failed since the stream was opened.
        """
        if self.error is not None:
            raise self.error

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes; none after a failure."""
        if self.error is None:
            try:
                position = self._stream.tell()
                data = self._stream.read(size)
            except OSError as error:
                self.error = error
            else:
                header = self._header[position : position + len(data)]
                return header + data[len(header) :]
        return b""

    def write(self, data: bytes) -> int:
        """Write bytes; after a failure they are dropped, as the file is lost anyway."""
        if self.error is None:
            try:
                self._stream.write(data)
            except OSError as error:
                self.error = error
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move, and return the new position."""
        if self.error is None:
            try:
                return self._stream.seek(offset, whence)
            except (OSError, ValueError) as error:  # a damaged header may point before the start
                self.error = OSError(errno.EINVAL, f"cannot seek: {error}")
        return 0

    def tell(self) -> int:
        """Return the position."""
        return 0 if self.error else self._stream.tell()
