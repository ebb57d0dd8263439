"""Damage that libsndfile does not report: it decodes what is there and says nothing of the rest.

- WAV, AIFF, AU, CAF, W64 keep their samples in one chunk and say how long it should be. A writer
  into a pipe does not know it, and puts a length that no file has: 0, all ones, or the most that it
  dares. Nothing is missing then.
- The pages of Ogg carry checksums, and the last one says that it is the last.
- MP3 is in `mpeg`; FLAC checks itself.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import IO, NamedTuple

from hifigan_cli.audio.formats.mpeg import mpeg_damage

_MAX_CHUNKS = 1000  # of a sensible file; more would only cost time


class _Layout(NamedTuple):
    first: int  # where the first chunk begins, in bytes
    header: str  # a chunk's name and length, as a struct format
    samples: bytes = b"data"  # the name of the chunk with the samples
    align: int = 2  # chunks begin at multiples of it


_W64 = b"riff"  # its lengths include the chunk's header
_LAYOUTS = {
    b"RIFF": _Layout(12, "<4sI"),
    b"RIFX": _Layout(12, ">4sI"),
    b"RF64": _Layout(12, "<4sI"),
    _W64: _Layout(40, "<4s12xQ", align=8),
    b"FORM": _Layout(12, ">4sI", b"SSND"),
    b"caff": _Layout(8, ">4sQ", align=1),
}
_W64_HEADER_BYTES = struct.calcsize(_LAYOUTS[_W64].header)
# What writers into pipes put: sox and espeak-ng 0x7ffff000, others 2^31 or one less, ffmpeg all
# ones; each perhaps rounded down to whole samples of all channels.
_ROUNDING = 512
_UNKNOWN_BELOW = (0x7FFFF000, 2**31 - 1, 2**31, 2**32 - 1)
_UNKNOWN_FROM = 2**62  # of 64 bits; ffmpeg's W64 has 2^63 - 1

_OGG_PAGE = struct.Struct("<4sxB16xIB")  # magic, flags, CRC, segments
_BEGIN_OF_STREAM, _END_OF_STREAM = 2, 4
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def find_damage(stream: IO[bytes], container: str) -> str | None:
    """Say what is wrong with a file, as the rest of a sentence about it, or None."""
    if container == "OGG":
        return _ogg_damage(stream)
    if container == "MP3":
        return mpeg_damage(stream)
    found = _find_samples(stream)
    if found is None or _is_unknown(found[1]):
        return None
    missing = sum(found) - stream.seek(0, os.SEEK_END)
    return f"is truncated: {missing} bytes of samples are missing" if missing > 0 else None


def completed_header(stream: IO[bytes]) -> bytes:
    """Return the header of a W64 of unknown length with its length filled in, else nothing.

    libsndfile seeks to where such a length leads, and fails. `stream` is left at its start.
    """
    found = _find_samples(stream)
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    is_w64 = stream.read(len(_W64)) == _W64
    stream.seek(0)
    if not is_w64 or found is None or found[1] < _UNKNOWN_FROM:
        return b""
    begin = found[0]
    header = stream.read(begin - 8) + struct.pack("<Q", size - begin + _W64_HEADER_BYTES)
    stream.seek(0)
    return header


def _find_samples(stream: IO[bytes]) -> tuple[int, int] | None:
    """Return where the samples begin and how many bytes of them the file announces."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    magic = stream.read(4)
    if magic == b".snd" and size >= 12:
        begin, length = struct.unpack(">II", stream.read(8))
        return begin, length
    if magic not in _LAYOUTS:
        return None
    layout = _LAYOUTS[magic]
    header_bytes = struct.calcsize(layout.header)
    position, wide = layout.first, 0
    for _ in range(_MAX_CHUNKS):
        body = position + header_bytes
        if body > size:
            return None
        stream.seek(position)
        name, length = struct.unpack(layout.header, stream.read(header_bytes))
        if magic == _W64 and length < _UNKNOWN_FROM:
            length -= header_bytes
        if name == b"ds64":  # RF64 keeps here what its 32-bit fields cannot hold
            wide = struct.unpack("<8xQ", stream.read(16).ljust(16, b"\0"))[0]
        if name == layout.samples:
            return body, wide if wide and _is_unknown(length) else length
        end = body + length
        position = max(body, end + -end % layout.align)
    return None


def _is_unknown(length: int) -> bool:
    rounded = any(limit - _ROUNDING <= length <= limit for limit in _UNKNOWN_BELOW)
    return length <= 0 or rounded or length >= _UNKNOWN_FROM


def _ogg_damage(stream: IO[bytes]) -> str | None:
    """Walk the pages. libsndfile skips a damaged one, and of several streams reads the first."""
    ended = False
    while True:
        offset = stream.tell()
        head = stream.read(_OGG_PAGE.size)
        if ended and not head.startswith(b"OggS"):
            return None  # what follows the last page (a tag, say) does not matter
        if not head:
            return "is truncated: its last page is missing"
        if len(head) < _OGG_PAGE.size:
            return "is truncated within a page"
        magic, flags, checksum, segments = _OGG_PAGE.unpack(head)
        if magic != b"OggS":
            return f"is damaged: no page begins at byte {offset}"
        if ended and flags & _BEGIN_OF_STREAM:
            return "has several streams one after another; only the first is read"
        lacing = stream.read(segments)
        body = stream.read(sum(lacing))
        if len(lacing) < segments or len(body) < sum(lacing):
            return "is truncated within a page"
        # The checksum is taken with its own field zero.
        if _ogg_checksum(head[:22] + bytes(4) + head[26:] + lacing + body) != checksum:
            return f"is damaged: the page at byte {offset} does not match its checksum"
        ended = bool(flags & _END_OF_STREAM)


def _ogg_checksum(page: bytes) -> int:
    """Compute Ogg's CRC-32: zlib's polynomial with the bits of each byte the other way round.

    >>> hex(_ogg_checksum(b"123456789"))
    '0x89a1897f'
    """
    raw = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{raw:032b}"[::-1], 2)
