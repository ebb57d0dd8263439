"""The supported audio containers, and how to identify them by their first bytes.

A file's name may not match its content, and libsndfile also opens containers that nobody uses for
speech. So the bytes decide, and only these containers are accepted.
"""

from __future__ import annotations

from typing import NamedTuple

HEADER_BYTES = 64


class Container(NamedTuple):
    """The container and sample format of a file, by soundfile's names."""

    format: str
    subtype: str


WRITABLE: dict[str, Container] = {
    ".wav": Container("WAV", "PCM_16"),
    ".flac": Container("FLAC", "PCM_16"),
    ".ogg": Container("OGG", "VORBIS"),
    ".opus": Container("OGG", "OPUS"),
    ".mp3": Container("MP3", "MPEG_LAYER_III"),
    ".aiff": Container("AIFF", "PCM_16"),
    ".aif": Container("AIFF", "PCM_16"),
    ".au": Container("AU", "PCM_16"),
    ".caf": Container("CAF", "PCM_16"),
    ".w64": Container("W64", "PCM_16"),
}
AUDIO_SUFFIXES = frozenset({*WRITABLE, ".wave", ".oga", ".aifc", ".rf64", ".snd"})


def identify_container(head: bytes) -> str | None:
    """Identify the container by a file's first 64 bytes; return None if it is not supported.

    >>> identify_container(b"RIFF$" + bytes(3) + b"WAVEfmt ")
    'WAV'
    >>> identify_container(b"<!DOCTYPE html>") is None
    True
    """
    if head[:4] in (b"RIFF", b"RF64", b"RIFX") and head[8:12] == b"WAVE":
        return "WAV"
    if head[:4] == b"riff" and head[24:28] == b"wave":
        return "W64"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "AIFF"
    for magic, name in ((b"fLaC", "FLAC"), (b"OggS", "OGG"), (b".snd", "AU"), (b"caff", "CAF")):
        if head.startswith(magic):
            return name
    if head.startswith(b"ID3") or _is_mpeg_frame(head):
        return "MP3"
    return None


def _is_mpeg_frame(head: bytes) -> bool:
    """Check for sync bits, and for no reserved version, layer, bit rate or sample rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bit_rate, sample_rate = head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and layer != 0 and bit_rate != 15 and sample_rate != 3
