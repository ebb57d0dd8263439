"""Numbered files of numbers, mapped into memory when a clip of theirs is first asked for.

A corpus may be larger than the memory of one machine and its shards more than a process may hold
open, so only those that were read last stay mapped. What is mapped costs addresses, not memory: the
operating system keeps pages as long as it has room for them, once for all processes of a machine.
"""

from __future__ import annotations

import mmap
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hifigan_cli.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Each open shard holds one file descriptor, of which a process often has no more than 1024.
MOST_OPEN = 128
AGAIN = "prepare the corpus again with `hifigan preprocess --force`"


class Shards:
    """One kind of packed file of a prepared folder, all its shards.

    Attributes:
        opened: how many times a shard was mapped.
    """

    def __init__(
        self, path_of: Callable[[int], Path], dtype: npt.DTypeLike, most_open: int = MOST_OPEN
    ) -> None:
        """Name the file of each shard; none is opened yet."""
        self._path_of = path_of
        self._dtype: np.dtype[Any] = np.dtype(dtype)
        self._most_open = most_open
        self._lock = threading.Lock()
        self._open: OrderedDict[int, mmap.mmap | None] = OrderedDict()  # the last read one last
        self.opened = 0

    def read(self, shard: int, start: int, stop: int, clip: str) -> npt.NDArray[Any]:
        """Return numbers `start` to `stop` of a shard, read-only, still in the mapping.

        The mapping lives as long as what was returned, even when the shard is closed meanwhile.

        Raises:
            InputError: the file cannot be opened or became shorter; names the `clip`.
        """
        path = self._path_of(shard)
        try:
            content = self._mapped(shard)
            size = 0 if content is None else content.size()  # as it is now
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}; {clip} cannot be read") from error
        width = self._dtype.itemsize
        # A page beyond the end of the file would kill the process, not raise.
        if size < stop * width or (content is not None and len(content) < stop * width):
            raise InputError(f"{path} became shorter; {clip} is cut", AGAIN)
        return np.frombuffer(content or b"", self._dtype, stop - start, start * width)

    def _mapped(self, shard: int) -> mmap.mmap | None:
        with self._lock:
            if shard in self._open:
                self._open.move_to_end(shard)
            else:
                self._open[shard] = _map(self._path_of(shard))
                self.opened += 1
                while len(self._open) > self._most_open:
                    # Not closed by hand: what was read from it may still be in use.
                    self._open.popitem(last=False)
            return self._open[shard]


def _map(path: Path) -> mmap.mmap | None:
    """Map a file for reading; None if it is empty, which cannot be mapped."""
    with path.open("rb") as stream:
        if stream.seek(0, 2) == 0:
            return None
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
