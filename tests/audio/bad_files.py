"""Audio files that must be rejected, by row of the fault matrix.

The tests of `hifigan_cli.audio` read each with the core; the tests of the fault matrix pass all of
them to one command.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
import soundfile

from tests.audio.sounds import encode, voice, wav

TONE = (np.sin(np.arange(4000) / 10) * 10_000).astype("<i2").tobytes()
CODECS = {
    "mp3": ("MP3", "MPEG_LAYER_III", 22_050),
    "vorbis": ("OGG", "VORBIS", 22_050),
    "opus": ("OGG", "OPUS", 24_000),
    "flac": ("FLAC", "PCM_16", 22_050),
}
CHUNKED = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF")  # samples in one chunk
HALF_WAV = "14 cut WAV 0.5"


class BadFile(NamedTuple):
    """A file's bytes, and a regular expression that its error message must match."""

    content: bytes
    pattern: str = ""


@cache
def files_of_row(row: int) -> dict[str, BadFile]:
    """Return the files of a row by name. Each name starts with the number of the row."""
    return {f"{row:02} {name}": bad for name, bad in ROWS[row]()}


def bad_files() -> dict[str, BadFile]:
    return {name: bad for row in ROWS for name, bad in files_of_row(row).items()}


NamedFiles = Iterator[tuple[str, BadFile]]


def _empty() -> NamedFiles:
    yield "empty", BadFile(b"", "0 bytes|standard input")


def _header_only() -> NamedFiles:
    yield "minimal", BadFile(wav(), "empty")
    for name in ("WAV", "AIFF", "AU", "FLAC", "W64", "RF64", "CAF"):
        yield name, BadFile(encode(np.zeros((1, 0), np.float32), name))


def _not_numbers() -> NamedFiles:
    for bad in (np.nan, np.inf, -np.inf):
        for channel, index in ((0, 0), (1, 4321)):
            samples = voice(channels=2)
            samples[channel, index] = samples[1, 9999] = bad
            pattern = f"2 .* sample {index} of channel {channel}.*--repair"
            yield f"{bad} {index}", BadFile(encode(samples, subtype="FLOAT"), pattern)


def _level_too_high() -> NamedFiles:
    yield "level", BadFile(encode(3e4 * voice(), subtype="FLOAT"), "full scale")


def _impossible_rates() -> NamedFiles:
    for sample_rate in (0, 1, 2, 3999, 384_001, 2**31 - 1, 2**32 - 1):
        pattern = f"{sample_rate} Hz" if 0 < sample_rate < 2**31 else ""
        yield str(sample_rate), BadFile(wav(TONE, sample_rate=sample_rate), pattern)


def _impossible_channels() -> NamedFiles:
    for channels in (0, 65, 1024, 65_535):
        content = wav(bytes(2 * 65_535 * 2), channels=channels)
        yield str(channels), BadFile(content, str(channels) if 0 < channels < 65_535 else "")


def _false_lengths() -> NamedFiles:
    rf64 = bytearray(encode(voice(), "RF64"))
    at = rf64.index(b"ds64") + 16
    rf64[at : at + 16] = struct.pack("<QQ", 2**61, 2**60)
    w64 = bytearray(encode(voice(), "W64"))
    at = w64.index(b"data\xf3\xac") + 16
    w64[at : at + 8] = struct.pack("<Q", 2**37)
    au = bytearray(encode(voice(), "AU"))
    au[8:12] = struct.pack(">I", 2**32 - 2**20)
    flac = bytearray(encode(voice(), "FLAC"))
    flac[21] |= 0x0F  # the upper bits of the number of samples: 2^36 in all
    flac[22:26] = b"\xff" * 4
    yield "WAV", BadFile(wav(TONE, stated_bytes=2**32 - 2**20))
    for name, content in {"RF64": rf64, "W64": w64, "AU": au, "FLAC": flac}.items():
        yield name, BadFile(bytes(content))


def _truncated() -> NamedFiles:
    """Decoders do not report missing samples, and codecs stop at the last complete block."""
    for container in CHUNKED:
        complete = encode(voice(2.0), container)
        for share in (0.5, 0.99):
            content = complete[: int(len(complete) * share)]
            missing = len(complete) - len(content)
            pattern = "" if container == "CAF" else f"{missing} bytes.*--repair"
            yield f"cut {container} {share}", BadFile(content, pattern)
    for name, (container, subtype, sample_rate) in CODECS.items():
        complete = encode(voice(3.0), container, subtype, sample_rate)
        for share in (0.3, 0.6, 0.9):
            yield f"cut {name} {share}", BadFile(complete[: int(len(complete) * share)])


def _one_flipped_bit() -> NamedFiles:
    for name in ("vorbis", "opus", "flac"):
        container, subtype, _ = CODECS[name]
        content = bytearray(encode(voice(4.0), container, subtype, 24_000))
        content[int(0.6 * len(content))] ^= 16
        yield name, BadFile(bytes(content))


def _not_audio() -> NamedFiles:
    random = np.random.default_rng(7)
    not_audio = {
        "HTML": b"<!DOCTYPE html><html><body>404</body></html>" * 10,
        "text": b"These are words.\n" * 100,
        "random": random.bytes(20_000),
        "zeros": bytes(20_000),
        "one byte": b"R",
        "RIFF of video": b"RIFF\x00\x10\x00\x00AVI LIST" + bytes(1000),
    }
    for name, content in not_audio.items():
        yield name, BadFile(content, "WAV, FLAC")
    yield "WAVE of zeros", BadFile(b"RIFF\x00\x10\x00\x00WAVE" + bytes(100_000))
    yield "MP3 sync and noise", BadFile(b"\xff\xfb\x90\x64" + random.bytes(3000))
    yield "Ogg magic only", BadFile(b"OggS")
    yield "FLAC magic only", BadFile(b"fLaC" + bytes(100))


def _unsupported_container() -> NamedFiles:
    """Yield files that libsndfile would open, but that nobody uses for speech."""
    kinds = {"MAT4", "MAT5", "PAF", "PVF", "IRCAM", "VOC", "NIST", "SVX", "SDS", "AVR"}
    for kind in sorted(kinds & set(soundfile.available_formats())):
        content = encode(voice(), kind, soundfile.default_subtype(kind))
        yield kind, BadFile(content, "WAV, FLAC")


ROWS = {
    1: _empty,
    2: _header_only,
    4: _not_numbers,
    5: _level_too_high,
    11: _impossible_rates,
    12: _impossible_channels,
    13: _false_lengths,
    14: _truncated,
    15: _one_flipped_bit,
    17: _not_audio,
    18: _unsupported_container,
}
