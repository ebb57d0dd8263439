"""Audio files made by the tests, good and bad, as bytes."""

from __future__ import annotations

import io
import struct

import numpy as np
import numpy.typing as npt
import soundfile

from tests.helpers import speech

# Names of files that something could take for more than a name; the last is as long as can be.
NAMES = ("two words.wav", "žluť 鳥.wav", "new\nline.wav", "-o.wav", "%d%s.wav", "é" * 125 + ".wav")


def encoded(
    samples: npt.NDArray[np.float32],
    container: str = "WAV",
    subtype: str = "PCM_16",
    sample_rate: int = 22_050,
) -> bytes:
    """Encode `(channels, samples)` with soundfile directly, not through the code under test."""
    memory = io.BytesIO()
    soundfile.write(memory, samples.T, sample_rate, subtype, format=container)
    return memory.getvalue()


def voice(length_s: float = 0.5, channels: int = 1, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.stack([speech(length_s, seed=seed + channel) for channel in range(channels)])


def wav(
    data: bytes = b"",
    channels: int = 1,
    sample_rate: int = 22_050,
    claimed: int | None = None,
    bits: int = 16,
) -> bytes:
    """Write a WAV header by hand, with whatever it shall claim."""
    frame = channels * bits // 8 & 0xFFFF
    form = struct.pack(
        "<HHIIHH", 1, channels, sample_rate, sample_rate * frame & 0xFFFFFFFF, frame, bits
    )
    size = len(data) if claimed is None else claimed
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", len(body) & 0xFFFFFFFF) + body


def streamed_flac(samples: npt.NDArray[np.float32]) -> bytes:
    """Encode FLAC as into a pipe: the 36 bits of the number of samples are zero, for unknown."""
    content = bytearray(encoded(samples, "FLAC"))
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    return bytes(content)
