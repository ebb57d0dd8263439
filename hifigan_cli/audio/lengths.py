"""How many bytes of samples a container announces, against what the file holds.

Decoders are silent about a file that was cut: they give what is there. The containers that keep
samples in one chunk say how long it should be. A length of 0, or of all ones, is that of a writer
that did not know it (a stream), so nothing is missing then.
"""

from __future__ import annotations

import struct
from typing import IO, NamedTuple

_MAX_CHUNKS = 1000  # of a file with sense; more is a way to keep us busy


class _Layout(NamedTuple):
    first: int  # where the first chunk begins, in bytes
    header: str  # a chunk's name and length, as a struct format
    samples: bytes  # the name of the chunk with the samples
    align: int  # chunks begin at multiples of it
    counts_header: bool = False  # whether a length includes the chunk's header


_LAYOUTS = {
    b"RIFF": _Layout(12, "<4sI", b"data", 2),
    b"RIFX": _Layout(12, ">4sI", b"data", 2),
    b"RF64": _Layout(12, "<4sI", b"data", 2),
    b"riff": _Layout(40, "<4s12xQ", b"data", 8, counts_header=True),  # W64
    b"FORM": _Layout(12, ">4sI", b"SSND", 2),
    b"caff": _Layout(8, ">4sQ", b"data", 1),
}
_UNKNOWN = (0, 2**32 - 1, 2**64 - 1)


def missing_bytes(stream: IO[bytes], size: int) -> int:
    """Count the bytes of samples that are announced beyond the end, at `size`, of a file.

    Compressed containers (FLAC, Ogg, MP3) announce none. `stream` is left at its start.
    """
    stream.seek(0)
    head = stream.read(12)
    layout = _LAYOUTS.get(head[:4])
    if head[:4] == b".snd" and len(head) == 12:
        start, length = struct.unpack(">II", head[4:])
        end = start + length if length not in _UNKNOWN else 0
    else:
        end = _end_of_samples(stream, size, layout) if layout else 0
    stream.seek(0)
    return max(0, end - size)


def _end_of_samples(stream: IO[bytes], size: int, layout: _Layout) -> int:
    """Walk the chunks; return where that of the samples should end, or 0."""
    header_bytes = struct.calcsize(layout.header)
    position, wide = layout.first, 0
    for _ in range(_MAX_CHUNKS):
        if position + header_bytes > size:
            return 0
        stream.seek(position)
        name, length = struct.unpack(layout.header, stream.read(header_bytes))
        body = position + header_bytes
        if name == b"ds64":  # RF64 keeps here what its 32-bit fields cannot hold
            wide = struct.unpack("<8xQ", stream.read(16).ljust(16, b"\0"))[0]
        if name == layout.samples:
            length = wide if length in _UNKNOWN else length
            return 0 if length in _UNKNOWN else _after(body, length, header_bytes, layout)
        end = _after(body, length, header_bytes, layout)
        position = max(body, end + -end % layout.align)
    return 0


def _after(body: int, length: int, header_bytes: int, layout: _Layout) -> int:
    return body + length - (header_bytes if layout.counts_header else 0)
