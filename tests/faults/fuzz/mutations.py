"""How bytes are damaged, as a function of a random generator."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

Random = np.random.Generator
_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_WIDE = (0, 2**31, 2**36, 2**61, 2**63 - 1, 2**64 - 1)
_HEAD = 200  # where most of what a file says of itself is


def mutated(content: bytes, others: Sequence[bytes], rng: Random) -> bytes:
    """Damage bytes in one to four ways; `others` lend pieces."""
    for _ in range(int(rng.integers(1, 5))):
        way = _WAYS[int(rng.integers(len(_WAYS)))]
        content = way(content, rng)
        if rng.random() < 0.05:
            content = _spliced(content, others[int(rng.integers(len(others)))], rng)
    return content


def _place(content: bytes, rng: Random) -> int:
    """Choose a place, half of the time near the beginning."""
    end = min(len(content), _HEAD) if rng.random() < 0.5 else len(content)
    return int(rng.integers(max(1, end)))


def _bits(content: bytes, rng: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        if changed:
            changed[_place(content, rng)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _bytes(content: bytes, rng: Random) -> bytes:
    at, count = _place(content, rng), int(rng.integers(1, 17))
    return content[:at] + rng.bytes(count) + content[at + count :]


def _number(content: bytes, rng: Random) -> bytes:
    """Put an extreme number somewhere, in either order of bytes."""
    order = "<>"[int(rng.integers(2))]
    if rng.random() < 0.3:
        number = struct.pack(f"{order}Q", _WIDE[int(rng.integers(len(_WIDE)))])
    elif rng.random() < 0.5:
        number = struct.pack(f"{order}I", _EXTREMES[int(rng.integers(len(_EXTREMES)))])
    else:
        number = struct.pack(f"{order}H", _EXTREMES[int(rng.integers(len(_EXTREMES)))] & 0xFFFF)
    at = _place(content, rng) & ~1
    return content[:at] + number + content[at + len(number) :]


def _cut(content: bytes, rng: Random) -> bytes:
    return content[: int(rng.integers(len(content) + 1))]


def _without(content: bytes, rng: Random) -> bytes:
    at, count = _place(content, rng), int(rng.integers(1, 65))
    return content[:at] + content[at + count :]


def _inserted(content: bytes, rng: Random) -> bytes:
    at = _place(content, rng)
    return content[:at] + rng.bytes(int(rng.integers(1, 65))) + content[at:]


def _repeated(content: bytes, rng: Random) -> bytes:
    at, count = _place(content, rng), int(rng.integers(1, 300))
    return content[: at + count] + content[at:]


def _zeros(content: bytes, rng: Random) -> bytes:
    at, count = _place(content, rng), int(rng.integers(1, 3000))
    return content[:at] + bytes(min(count, len(content) - at)) + content[at + count :]


def _swapped(content: bytes, rng: Random) -> bytes:
    places = [0, *sorted(int(rng.integers(len(content) + 1)) for _ in range(3)), len(content)]
    one, two, three, four = (content[a:b] for a, b in pairwise(places))
    return one + three + two + four


def _spliced(content: bytes, other: bytes, rng: Random) -> bytes:
    return content[: _place(content, rng)] + other[_place(other, rng) :]


_WAYS: tuple[Callable[[bytes, Random], bytes], ...] = (
    *(_bits, _bytes, _number, _number, _cut),
    *(_without, _inserted, _repeated, _zeros, _swapped),
)
