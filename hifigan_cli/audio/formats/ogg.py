"""Whether an Ogg file is whole: its pages carry checksums, and the last one says that it is.

libsndfile skips a damaged page and ends silently at a missing one, so that speech is lost or moves.
Of several streams one after another (two files put together, the record of a radio) it reads the
first.
"""

from __future__ import annotations

import struct
import zlib
from typing import IO

_PAGE = struct.Struct(
    "<4sBBqIIIB"
)  # magic, version, flags, position, serial, number, CRC, segments
_BEGIN_OF_STREAM, _END_OF_STREAM = 2, 4
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def ogg_damage(stream: IO[bytes]) -> str | None:
    """Say what is wrong with an Ogg file's pages, or None; `stream` is left at its start."""
    stream.seek(0)
    damage = _walk(stream)
    stream.seek(0)
    return damage


def _walk(stream: IO[bytes]) -> str | None:
    ended = False
    while True:
        offset = stream.tell()
        head = stream.read(_PAGE.size)
        if ended and not head.startswith(b"OggS"):
            return None  # what follows the last page (a tag, say) is not ours to judge
        if not head:
            return "is truncated: its last page is missing"
        if len(head) < _PAGE.size:
            return "is truncated within a page"
        magic, _, flags, _, _, _, checksum, segments = _PAGE.unpack(head)
        if magic != b"OggS":
            return f"is damaged: no page begins at byte {offset}"
        if ended and flags & _BEGIN_OF_STREAM:
            return "has several streams one after another; only the first is read"
        lacing = stream.read(segments)
        body = stream.read(sum(lacing))
        if len(lacing) < segments or len(body) < sum(lacing):
            return "is truncated within a page"
        # The checksum is taken with its own field zero.
        if ogg_checksum(head[:22] + bytes(4) + head[26:] + lacing + body) != checksum:
            return f"is damaged: the page at byte {offset} does not match its checksum"
        ended = bool(flags & _END_OF_STREAM)


def ogg_checksum(page: bytes) -> int:
    """Compute Ogg's CRC-32: zlib's polynomial with the bits of each byte the other way round.

    >>> hex(ogg_checksum(b"123456789"))
    '0x89a1897f'
    """
    raw = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{raw:032b}"[::-1], 2)
