"""The index of a prepared folder, of which a clip's line is read when the clip is asked for.

A hundred thousand hours are tens of millions of clips: as objects they would fill a machine's
memory once for each process. So the index stays a mapped file, which the processes of a machine
share, and each process holds eight bytes a clip: where its line begins.
"""

from __future__ import annotations

import json
import mmap
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from hifigan_cli.data.records import Clip, damaged
from hifigan_cli.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

# As `to_line` writes it. Within a name a quotation mark is escaped, so this is found nowhere else.
_SPLIT = {split: f'"split": "{split}"'.encode() for split in ("validation", "both")}


class Clips(Sequence[Clip]):
    """Clips of an index, in its order."""

    def __init__(self, path: Path, content: mmap.mmap | None, starts: array[int]) -> None:
        """Take the mapped index, and where the lines of these clips begin, in bytes."""
        self._path = path
        self._content = content
        self._starts = starts

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int) -> Clip: ...

    @overload
    def __getitem__(self, index: slice) -> list[Clip]: ...

    def __getitem__(self, index: int | slice) -> Clip | list[Clip]:
        """Read one clip, or those of a slice.

        Raises:
            InputError: the index was changed since it was opened.
        """
        if isinstance(index, slice):
            return [self._read(start) for start in self._starts[index]]
        return self._read(self._starts[index])

    def _read(self, start: int) -> Clip:
        content = self._content
        try:
            if content is None or content.size() < len(content):  # cut: its pages are gone
                raise damaged(self._path)
            return Clip(**json.loads(content[start : content.find(b"\n", start)]))
        except (TypeError, ValueError) as error:
            raise damaged(self._path) from error


def read_index(path: Path) -> tuple[Clips, Clips]:
    """Open an index; return its clips for training and for validation.

    Raises:
        InputError: it cannot be opened.
    """
    training, validation = array("q"), array("q")
    start = 0
    try:
        with path.open("rb") as stream:
            for line in stream:
                if _SPLIT["validation"] in line:
                    validation.append(start)
                else:
                    training.append(start)
                    if _SPLIT["both"] in line:
                        validation.append(start)
                start += len(line)
            content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if start else None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    return Clips(path, content, training), Clips(path, content, validation)
