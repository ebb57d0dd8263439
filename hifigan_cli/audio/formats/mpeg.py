"""Count the frames of an MP3 and compare them with the count in its first frame.

The first frame (Xing, Info or VBRI) states how many follow. If that count is missing or covers
only the first of two concatenated files, libsndfile reads too few frames. So this module counts the
frames, and gives libsndfile a stream whose first frame states the correct count.
"""

from __future__ import annotations

import io
import struct
from typing import IO, NamedTuple

# kbit/s of layer III by index; 0 is the free format, whose frames do not state their length.
_KBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES_HZ = (44_100, 48_000, 32_000)
_RATE_DIVISORS = {3: 1, 2: 2, 0: 4}  # keys: MPEG 1, 2 and 2.5
_LAYER_3 = 1
_MONO = 3
_HEADER_FRAME_INDEX = 9  # a bit rate whose frames have room for a count
_COUNT_SLACK = 1  # some encoders count their own first frame
_ID3V1_BYTES = 128


class _Frames(NamedTuple):
    """The audio frames of an MP3, and the counts in its header frames."""

    spans: list[tuple[int, int]]  # begin and end of the audio frames, in bytes
    stated: int  # sum of the counts in header frames; 0 without any
    headers: int  # number of header frames: more than one in joined files
    stopped_at: int | None  # offset where a frame should begin but does not


def mpeg_damage(stream: IO[bytes]) -> str | None:
    """Describe the damage of an MP3 as a clause, or return None."""
    frames = _read_frames(stream)
    if frames is None:
        return None
    if frames.stopped_at is not None:
        if frames.headers == 1 and frames.stated:
            return None  # libsndfile finds the next frame; the number of samples shows the loss
        return f"is truncated or damaged: no complete MPEG frame begins at byte {frames.stopped_at}"
    missing = frames.stated - len(frames.spans)
    if missing > _COUNT_SLACK * frames.headers:
        return f"is truncated: {missing} of its frames are missing"
    return None


def with_frame_count(stream: IO[bytes]) -> IO[bytes]:
    """Return the stream, or a copy in memory with the right frame count if the MP3 has none."""
    frames = _read_frames(stream)
    if frames is None or not frames.spans or frames.stopped_at is not None:
        return stream
    count = len(frames.spans)
    if frames.headers == 1 and count <= frames.stated:
        return stream
    content = stream.read()
    stream.seek(0)
    first = frames.spans[0][0]
    audio = b"".join(content[begin:end] for begin, end in frames.spans)
    return io.BytesIO(_header_frame(content[first : first + 4], count) + audio)


def _read_frames(stream: IO[bytes]) -> _Frames | None:
    """Find the frames; return None unless they are layer III of known bit rate."""
    content = stream.read()
    stream.seek(0)
    position, kind = _skip_tags(content, 0), None
    spans: list[tuple[int, int]] = []
    stated = headers = 0
    while position < len(content):
        head = content[position : position + 4]
        size = _frame_bytes(head)
        kind = kind or _kind(head)
        if not size or _kind(head) != kind or position + size > len(content):
            break
        count = _stated_count(content[position : position + size])
        if count is None:
            spans.append((position, position + size))
        else:
            stated, headers = stated + count, headers + 1
        position = _skip_tags(content, position + size)
    if not spans:
        return None
    return _Frames(spans, stated, headers, position if position < len(content) else None)


def _kind(head: bytes) -> tuple[int, int, bool]:
    """Return what all frames of a file share: version and layer, sample rate, mono or not."""
    return head[1] >> 1 & 15, head[2] >> 2 & 3, head[3] >> 6 == _MONO


def _frame_bytes(head: bytes) -> int:
    """Return the length of a layer III frame in bytes, or 0 for anything else."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return 0
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    index, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version not in _RATE_DIVISORS or layer != _LAYER_3 or index == 15 or rate == 3:
        return 0
    kbits = (_KBITS_1 if version == 3 else _KBITS_2)[index]
    eighths = 144_000 if version == 3 else 72_000  # 1152 or 576 samples, times 1000 bits, over 8
    return kbits and eighths * kbits // (_RATES_HZ[rate] // _RATE_DIVISORS[version]) + padding


def _side_bytes(head: bytes) -> int:
    mono = head[3] >> 6 == _MONO
    if head[1] >> 3 & 3 == 3:
        return 17 if mono else 32
    return 9 if mono else 17


def _stated_count(frame: bytes) -> int | None:
    """Return the count in a header frame (0 if it states none), or None for an audio frame."""
    at = 4 + _side_bytes(frame)
    if frame[at : at + 4] in (b"Xing", b"Info") and len(frame) >= at + 12:
        flags, count = struct.unpack_from(">II", frame, at + 4)
        return int(count) if flags & 1 else 0
    if frame[36:40] == b"VBRI" and len(frame) >= 54:
        return int(struct.unpack_from(">I", frame, 50)[0])
    return None


def _header_frame(head: bytes, count: int) -> bytes:
    """Build a silent first frame that states the number of audio frames."""
    # No CRC, no padding; version, sample rate and channels as in the audio frames.
    head = bytes([0xFF, head[1] | 1, _HEADER_FRAME_INDEX << 4 | head[2] & 0x0C, head[3]])
    body = head + bytes(_side_bytes(head)) + b"Xing" + struct.pack(">II", 1, count)
    return body.ljust(_frame_bytes(head), b"\0")


def _skip_tags(content: bytes, position: int) -> int:
    """Return the position after metadata tags (ID3, APE) and the zeros that pad them."""
    while True:
        head = content[position : position + 4096]
        if head.startswith(b"ID3") and len(head) >= 10:
            size = 0
            for seven_bits in head[6:10]:
                size = size << 7 | seven_bits & 127
            size += 20 if head[5] & 0x10 else 10  # some tags have a footer
        elif head.startswith(b"TAG"):
            size = _ID3V1_BYTES
        elif head.startswith(b"APETAGEX") and len(head) >= 32:
            size, _, flags = struct.unpack_from("<III", head, 12)
            size += 32 if flags >> 29 & 1 else 0  # the size excludes the header
        else:
            size = len(head) - len(head.lstrip(b"\0"))
        if size == 0:
            return position
        position = min(len(content), position + size)
