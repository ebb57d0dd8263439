"""Mutations of bytes, as a function of a random generator."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

Random = np.random.Generator
_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_WIDE = (0, 2**31, 2**36, 2**61, 2**63 - 1, 2**64 - 1)
_HEADER_BYTES = 200  # most of a file's metadata


def mutate(content: bytes, others: Sequence[bytes], rng: Random) -> bytes:
    """Apply one to four mutations; splice in pieces of `others`."""
    for _ in range(int(rng.integers(1, 5))):
        mutation = _MUTATIONS[int(rng.integers(len(_MUTATIONS)))]
        content = mutation(content, rng)
        if rng.random() < 0.05:
            content = _splice(content, others[int(rng.integers(len(others)))], rng)
    return content


def _random_offset(content: bytes, rng: Random) -> int:
    """Choose an offset, half of the time in the header."""
    end = min(len(content), _HEADER_BYTES) if rng.random() < 0.5 else len(content)
    return int(rng.integers(max(1, end)))


def _flip_bits(content: bytes, rng: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        if changed:
            changed[_random_offset(content, rng)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _replace_bytes(content: bytes, rng: Random) -> bytes:
    offset, count = _random_offset(content, rng), int(rng.integers(1, 17))
    return content[:offset] + rng.bytes(count) + content[offset + count :]


def _replace_number(content: bytes, rng: Random) -> bytes:
    """Insert an extreme number, in either byte order."""
    order = "<>"[int(rng.integers(2))]
    if rng.random() < 0.3:
        number = struct.pack(f"{order}Q", _WIDE[int(rng.integers(len(_WIDE)))])
    elif rng.random() < 0.5:
        number = struct.pack(f"{order}I", _EXTREMES[int(rng.integers(len(_EXTREMES)))])
    else:
        number = struct.pack(f"{order}H", _EXTREMES[int(rng.integers(len(_EXTREMES)))] & 0xFFFF)
    offset = _random_offset(content, rng) & ~1
    return content[:offset] + number + content[offset + len(number) :]


def _truncate(content: bytes, rng: Random) -> bytes:
    return content[: int(rng.integers(len(content) + 1))]


def _remove(content: bytes, rng: Random) -> bytes:
    offset, count = _random_offset(content, rng), int(rng.integers(1, 65))
    return content[:offset] + content[offset + count :]


def _insert(content: bytes, rng: Random) -> bytes:
    offset = _random_offset(content, rng)
    return content[:offset] + rng.bytes(int(rng.integers(1, 65))) + content[offset:]


def _repeat(content: bytes, rng: Random) -> bytes:
    offset, count = _random_offset(content, rng), int(rng.integers(1, 300))
    return content[: offset + count] + content[offset:]


def _clear(content: bytes, rng: Random) -> bytes:
    offset, count = _random_offset(content, rng), int(rng.integers(1, 3000))
    return content[:offset] + bytes(min(count, len(content) - offset)) + content[offset + count :]


def _swap(content: bytes, rng: Random) -> bytes:
    offsets = [0, *sorted(int(rng.integers(len(content) + 1)) for _ in range(3)), len(content)]
    one, two, three, four = (content[a:b] for a, b in pairwise(offsets))
    return one + three + two + four


def _splice(content: bytes, other: bytes, rng: Random) -> bytes:
    return content[: _random_offset(content, rng)] + other[_random_offset(other, rng) :]


_MUTATIONS: tuple[Callable[[bytes, Random], bytes], ...] = (
    *(_flip_bits, _replace_bytes, _replace_number, _replace_number, _truncate),
    *(_remove, _insert, _repeat, _clear, _swap),
)
