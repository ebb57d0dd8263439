"""Generate good and bad audio files as bytes."""

from __future__ import annotations

import io
import struct

import numpy as np
import numpy.typing as npt
import soundfile

from tests.helpers import speech

# File names that some program could misinterpret; the last has the maximum length.
NAMES = ("two words.wav", "žluť 鳥.wav", "new\nline.wav", "-o.wav", "%d%s.wav", "é" * 125 + ".wav")


def encode(
    samples: npt.NDArray[np.float32],
    container: str = "WAV",
    subtype: str = "PCM_16",
    sample_rate: int = 22_050,
) -> bytes:
    """Encode `(channels, samples)` with soundfile directly, not through the code under test."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples.T, sample_rate, subtype, format=container)
    return buffer.getvalue()


def voice(length_s: float = 0.5, channels: int = 1, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.stack([speech(length_s, seed=seed + channel) for channel in range(channels)])


def wav(
    data: bytes = b"",
    channels: int = 1,
    sample_rate: int = 22_050,
    stated_bytes: int | None = None,
    bits: int = 16,
) -> bytes:
    """Build a WAV file by hand, whose header may state wrong values."""
    frame = channels * bits // 8 & 0xFFFF
    form = struct.pack(
        "<HHIIHH", 1, channels, sample_rate, sample_rate * frame & 0xFFFFFFFF, frame, bits
    )
    size = len(data) if stated_bytes is None else stated_bytes
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", len(body) & 0xFFFFFFFF) + body


def streamed_flac(samples: npt.NDArray[np.float32]) -> bytes:
    """Encode FLAC as in a pipe: the 36 bits of the number of samples are zero, for unknown."""
    content = bytearray(encode(samples, "FLAC"))
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    return bytes(content)
