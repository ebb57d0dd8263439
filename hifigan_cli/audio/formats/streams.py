"""Streams through which libsndfile's C code reads and writes.

An exception cannot pass through C: soundfile would print its traceback, and libsndfile would treat
the failed call as the end of the file. So the stream stores the error, and the caller raises it.
The handlers of signals raise too, so signals wait until the C code returns.
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
def defer_signals() -> Iterator[None]:
    """Defer SIGINT and SIGTERM to the end of a short block that calls libsndfile."""
    with _defer(signal.SIGINT), _defer(signal.SIGTERM):
        yield


@contextmanager
def _defer(number: signal.Signals) -> Iterator[None]:
    handler = signal.getsignal(number)
    # Python runs handlers only in the main thread. Without a handler, a signal ends the process.
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    signal.signal(number, lambda which, _frame: received.append(which))
    try:
        yield
    finally:
        signal.signal(number, handler)
        if received:
            signal.raise_signal(number)


class GuardedStream:
    """A binary stream that stores its first error in `error` until `check` raises it.

    `header` replaces the stream's first bytes when reading.
    """

    def __init__(self, stream: IO[bytes], header: bytes = b"") -> None:
        self._stream = stream
        self._header = header
        self.error: OSError | None = None

    def check(self) -> None:
        """Raise the stored error.

        Raises:
            OSError: an earlier call failed.
        """
        if self.error is not None:
            raise self.error

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes, or none after an error."""
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
        """Write bytes. After an error, drop them: the file is lost anyway."""
        if self.error is None:
            try:
                self._stream.write(data)
            except OSError as error:
                self.error = error
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position and return it."""
        if self.error is None:
            try:
                return self._stream.seek(offset, whence)
            except (OSError, ValueError) as error:  # a damaged header may point before the start
                self.error = OSError(errno.EINVAL, f"cannot seek: {error}")
        return 0

    def tell(self) -> int:
        """Return the position."""
        return 0 if self.error else self._stream.tell()
