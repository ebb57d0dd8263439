"""Damage that libsndfile does not report: it decodes the samples that exist and ignores the rest.

- WAV, AIFF, AU, CAF and W64 store their samples in one chunk, whose header states its length. A
  program that writes into a pipe does not know the length and writes a placeholder: 0, all ones
  or a very large number. Nothing is missing then.
- The pages of Ogg have checksums, and the last page has a flag.
- `mpeg` checks MP3. FLAC has checks of its own.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import IO, NamedTuple

from hifigan_cli.audio.formats.mpeg import mpeg_damage

_MAX_CHUNKS = 1000  # no sensible file has more


class _Layout(NamedTuple):
    first: int  # byte offset of the first chunk
    header: str  # struct format of a chunk's name and length
    samples: bytes = b"data"  # name of the chunk with the samples
    align: int = 2  # chunks begin at multiples of this


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
# Lengths that programs write into pipes: sox and espeak-ng 0x7ffff000, others 2^31 or one less,
# ffmpeg all ones. Each may be rounded down to a multiple of the size of a frame.
_ROUNDING = 512
_UNKNOWN_LENGTHS = (0x7FFFF000, 2**31 - 1, 2**31, 2**32 - 1)
_UNKNOWN_FROM = 2**62  # 64-bit lengths from here are placeholders; ffmpeg's W64 has 2^63 - 1

_OGG_PAGE = struct.Struct("<4sxB16xIB")  # magic, flags, CRC, segments
_BEGIN_OF_STREAM, _END_OF_STREAM = 2, 4
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def find_damage(stream: IO[bytes], container: str) -> str | None:
    """Describe the damage as a clause that follows the file's name, or return None."""
    if container == "OGG":
        return _ogg_damage(stream)
    if container == "MP3":
        return mpeg_damage(stream)
    chunk = _find_samples(stream)
    if chunk is None or _is_unknown(chunk[1]):
        return None
    missing = sum(chunk) - stream.seek(0, os.SEEK_END)
    return f"is truncated: {missing} bytes of samples are missing" if missing > 0 else None


def w64_header_with_length(stream: IO[bytes]) -> bytes:
    """Return the header of a W64 of unknown length with its length filled in, otherwise nothing.

    libsndfile would seek to the end of the unknown length, and fail. `stream` is left at its start.
    """
    chunk = _find_samples(stream)
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    is_w64 = stream.read(len(_W64)) == _W64
    stream.seek(0)
    if not is_w64 or chunk is None or chunk[1] < _UNKNOWN_FROM:
        return b""
    begin = chunk[0]
    header = stream.read(begin - 8) + struct.pack("<Q", size - begin + _W64_HEADER_BYTES)
    stream.seek(0)
    return header


def _find_samples(stream: IO[bytes]) -> tuple[int, int] | None:
    """Return the offset of the samples and their number of bytes according to the header."""
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
    position, length_64 = layout.first, 0
    for _ in range(_MAX_CHUNKS):
        body = position + header_bytes
        if body > size:
            return None
        stream.seek(position)
        name, length = struct.unpack(layout.header, stream.read(header_bytes))
        if magic == _W64 and length < _UNKNOWN_FROM:
            length -= header_bytes
        if name == b"ds64":  # here RF64 stores lengths beyond 32 bits
            length_64 = struct.unpack("<8xQ", stream.read(16).ljust(16, b"\0"))[0]
        if name == layout.samples:
            return body, length_64 if length_64 and _is_unknown(length) else length
        end = body + length
        position = max(body, end + -end % layout.align)
    return None


def _is_unknown(length: int) -> bool:
    rounded = any(limit - _ROUNDING <= length <= limit for limit in _UNKNOWN_LENGTHS)
    return length <= 0 or rounded or length >= _UNKNOWN_FROM


def _ogg_damage(stream: IO[bytes]) -> str | None:
    """Check every page: libsndfile skips damaged ones, and decodes only the first stream."""
    ended = False
    while True:
        offset = stream.tell()
        head = stream.read(_OGG_PAGE.size)
        if ended and not head.startswith(b"OggS"):
            return None  # bytes after the last page, such as a tag, do not matter
        if not head:
            return "is truncated: its last page is missing"
        if len(head) < _OGG_PAGE.size:
            return "is truncated within a page"
        magic, flags, checksum, segments = _OGG_PAGE.unpack(head)
        if magic != b"OggS":
            return f"is damaged: no page begins at byte {offset}"
        if ended and flags & _BEGIN_OF_STREAM:
            return "has several Ogg streams in sequence, of which only the first is decoded"
        lacing = stream.read(segments)
        body = stream.read(sum(lacing))
        if len(lacing) < segments or len(body) < sum(lacing):
            return "is truncated within a page"
        # The checksum is computed with its own field set to zero.
        if _ogg_checksum(head[:22] + bytes(4) + head[26:] + lacing + body) != checksum:
            return f"is damaged: the page at byte {offset} does not match its checksum"
        ended = bool(flags & _END_OF_STREAM)


def _ogg_checksum(page: bytes) -> int:
    """Compute Ogg's CRC-32: zlib's polynomial with the bits of each byte reversed.

    >>> hex(_ogg_checksum(b"123456789"))
    '0x89a1897f'
    """
    raw = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{raw:032b}"[::-1], 2)
