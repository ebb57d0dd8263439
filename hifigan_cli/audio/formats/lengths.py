"""How many bytes of samples a container announces, against what the file holds.

Decoders are silent about a file that was cut: they give what is there. The containers that keep
samples in one chunk say how long it should be. A writer into a pipe does not know it, and puts a
length that no file has: 0, all ones, or the most that it dares. Nothing is missing then.
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


_W64 = _Layout(40, "<4s12xQ", b"data", 8, counts_header=True)
_LAYOUTS = {
    b"RIFF": _Layout(12, "<4sI", b"data", 2),
    b"RIFX": _Layout(12, ">4sI", b"data", 2),
    b"RF64": _Layout(12, "<4sI", b"data", 2),
    b"riff": _W64,
    b"FORM": _Layout(12, ">4sI", b"SSND", 2),
    b"caff": _Layout(8, ">4sQ", b"data", 1),
}
# What writers into pipes put: sox and espeak-ng 0x7ffff000, others 2^31 or one less, ffmpeg all
# ones; each perhaps rounded down to whole samples of all channels.
_ROUNDING = 512
_UNKNOWN_BELOW = (0x7FFFF000, 2**31 - 1, 2**31, 2**32 - 1)
_UNKNOWN_FROM = 2**62  # of 64 bits; ffmpeg's W64 has 2^63 - 1


def missing_bytes(stream: IO[bytes], size: int) -> int:
    """Count the bytes of samples that are announced beyond the end, at `size`, of a file.

    Compressed containers (FLAC, Ogg, MP3) announce none. `stream` is left at its start.
    """
    found = _find_samples(stream, size)
    if found is None or _is_unknown(found.length):
        return 0
    return max(0, found.begin + found.length - size)


def mended_length(stream: IO[bytes], size: int) -> tuple[int, bytes] | None:
    """Return where a W64 of unknown length should say it, and what; None for all others.

    libsndfile seeks to where such a length leads, and fails. `stream` is left at its start.
    """
    found = _find_samples(stream, size)
    if found is None or found.layout is not _W64 or found.length < _UNKNOWN_FROM:
        return None
    length = size - found.begin + _header_bytes(_W64)
    return found.begin - 8, struct.pack("<Q", length)


class _Found(NamedTuple):
    begin: int  # of the samples, in bytes
    length: int  # of the samples, as announced
    layout: _Layout | None


def _find_samples(stream: IO[bytes], size: int) -> _Found | None:
    stream.seek(0)
    head = stream.read(12)
    stream.seek(0)
    layout = _LAYOUTS.get(head[:4])
    if head[:4] == b".snd" and len(head) == 12:
        begin, length = struct.unpack(">II", head[4:])
        return _Found(begin, length, None)
    found = _walk(stream, size, layout) if layout else None
    stream.seek(0)
    return found


def _walk(stream: IO[bytes], size: int, layout: _Layout) -> _Found | None:
    """Walk the chunks to that of the samples."""
    position, wide = layout.first, 0
    for _ in range(_MAX_CHUNKS):
        body = position + _header_bytes(layout)
        if body > size:
            return None
        stream.seek(position)
        name, length = struct.unpack(layout.header, stream.read(body - position))
        length -= _header_bytes(layout) if layout.counts_header and length < _UNKNOWN_FROM else 0
        if name == b"ds64":  # RF64 keeps here what its 32-bit fields cannot hold
            wide = struct.unpack("<8xQ", stream.read(16).ljust(16, b"\0"))[0]
        if name == layout.samples:
            return _Found(body, wide if wide and _is_unknown(length) else length, layout)
        end = body + length
        position = max(body, end + -end % layout.align)
    return None


def _header_bytes(layout: _Layout) -> int:
    return struct.calcsize(layout.header)


def _is_unknown(length: int) -> bool:
    rounded = any(limit - _ROUNDING <= length <= limit for limit in _UNKNOWN_BELOW)
    return length <= 0 or rounded or length >= _UNKNOWN_FROM
