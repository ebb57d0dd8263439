"""How many frames an MP3 holds, against what its first frame announces.

An encoder's first frame (Xing, Info or VBRI) says how many follow. Where it is missing, or is that
of the first of two joined files, libsndfile guesses from the bit rate and stops at its guess. So
the frames are counted here, and libsndfile gets a stream whose first frame has the right number.
"""

from __future__ import annotations

import io
import struct
from typing import IO, NamedTuple

# kbit/s of layer III by index; 0 stands for a free format, whose frames have no length to walk by.
_KBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES_HZ = (44_100, 48_000, 32_000)
_RATE_DIVISORS = {3: 1, 2: 2, 0: 4}  # of the versions MPEG 1, 2 and 2.5
_LAYER_3 = 1
_MONO = 3
_SPARE_INDEX = 9  # a bit rate whose frames have room for a count
_COUNT_SLACK = 1  # some encoders count their own first frame
_ID3V1_BYTES = 128


class _Frames(NamedTuple):
    """The frames of sound in an MP3, and what the frames without sound announced."""

    places: list[tuple[int, int]]  # begin and end, in bytes
    announced: int  # in all; 0 where none did
    headers: int  # how many frames only announce: more than one where files were joined
    stopped_at: int | None  # where no further frame begins, though the file goes on


def mpeg_damage(stream: IO[bytes]) -> str | None:
    """Say what an MP3 lacks, or None."""
    frames = _read_frames(stream)
    if frames is None:
        return None
    if frames.stopped_at is not None:
        if frames.headers == 1 and frames.announced:
            return None  # libsndfile finds the next frame, and its samples show what is lost
        return f"is truncated or damaged: no whole MPEG frame begins at byte {frames.stopped_at}"
    missing = frames.announced - len(frames.places)
    if missing > _COUNT_SLACK * frames.headers:
        return f"is truncated: {missing} of its frames are missing"
    return None


def counted(stream: IO[bytes]) -> IO[bytes]:
    """Return the stream itself, or of an MP3 without a right count a copy in memory with one."""
    frames = _read_frames(stream)
    if frames is None or not frames.places or frames.stopped_at is not None:
        return stream
    held = len(frames.places)
    if frames.headers == 1 and held <= frames.announced:
        return stream
    content = stream.read()
    stream.seek(0)
    first = frames.places[0][0]
    sound = b"".join(content[begin:end] for begin, end in frames.places)
    return io.BytesIO(_announcement(content[first : first + 4], held) + sound)


def _read_frames(stream: IO[bytes]) -> _Frames | None:
    """Walk the frames; None of what is no layer III of known bit rate."""
    content = stream.read()
    stream.seek(0)
    position, kind = _after_tags(content, 0), None
    places: list[tuple[int, int]] = []
    announced = headers = 0
    while position < len(content):
        head = content[position : position + 4]
        size = _frame_bytes(head)
        kind = kind or _kind(head)
        if not size or _kind(head) != kind or position + size > len(content):
            break
        count = _count(content[position : position + size])
        if count is None:
            places.append((position, position + size))
        else:
            announced, headers = announced + count, headers + 1
        position = _after_tags(content, position + size)
    if not places:
        return None
    return _Frames(places, announced, headers, position if position < len(content) else None)


def _kind(head: bytes) -> tuple[int, int, bool]:
    """Return what may not change: version and layer, sample rate, whether one channel."""
    return head[1] >> 1 & 15, head[2] >> 2 & 3, head[3] >> 6 == _MONO


def _frame_bytes(head: bytes) -> int:
    """Return the length of a layer III frame, or 0 of anything else."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return 0
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    index, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version not in _RATE_DIVISORS or layer != _LAYER_3 or index == 15 or rate == 3:
        return 0
    kbits = (_KBITS_1 if version == 3 else _KBITS_2)[index]
    eighths = 144_000 if version == 3 else 72_000  # 1152 or 576 samples, by 1000 bits of 8
    return kbits and eighths * kbits // (_RATES_HZ[rate] // _RATE_DIVISORS[version]) + padding


def _side_bytes(head: bytes) -> int:
    mono = head[3] >> 6 == _MONO
    if head[1] >> 3 & 3 == 3:
        return 17 if mono else 32
    return 9 if mono else 17


def _count(frame: bytes) -> int | None:
    """Return how many frames this one announces (0: unsaid), or None of a frame of sound."""
    at = 4 + _side_bytes(frame)
    if frame[at : at + 4] in (b"Xing", b"Info") and len(frame) >= at + 12:
        flags, count = struct.unpack_from(">II", frame, at + 4)
        return int(count) if flags & 1 else 0
    if frame[36:40] == b"VBRI" and len(frame) >= 54:
        return int(struct.unpack_from(">I", frame, 50)[0])
    return None


def _announcement(head: bytes, count: int) -> bytes:
    """Build the first frame of a stream: silent, with the number of frames to come."""
    # No CRC, no padding; version, sample rate and channels are those of the sound.
    head = bytes([0xFF, head[1] | 1, _SPARE_INDEX << 4 | head[2] & 0x0C, head[3]])
    body = head + bytes(_side_bytes(head)) + b"Xing" + struct.pack(">II", 1, count)
    return body.ljust(_frame_bytes(head), b"\0")


def _after_tags(content: bytes, position: int) -> int:
    """Skip the tags of players (ID3, APE) and the zeros that pad them."""
    while True:
        head = content[position : position + 4096]
        if head.startswith(b"ID3") and len(head) >= 10:
            size = 0
            for seven_bits in head[6:10]:
                size = size << 7 | seven_bits & 127
            size += 20 if head[5] & 0x10 else 10  # with or without a footer
        elif head.startswith(b"TAG"):
            size = _ID3V1_BYTES
        elif head.startswith(b"APETAGEX") and len(head) >= 32:
            size, _, flags = struct.unpack_from("<III", head, 12)
            size += 32 if flags >> 29 & 1 else 0  # a header is not in its own size
        else:
            size = len(head) - len(head.lstrip(b"\0"))
        if size == 0:
            return position
        position = min(len(content), position + size)
