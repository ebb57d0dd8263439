"""Read any audio file or stream into float32 samples in memory.

`decoding` and `recording` handle everything that could break a later stage: input that is not
audio, wrong lengths in headers, NaN or infinite samples, levels beyond full scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.audio.decoding import EncodedAudio
from hifigan_cli.audio.recording import open_recording
from hifigan_cli.audio.writing import write_audio
from hifigan_cli.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hifigan_cli.types import FloatArray

_BLOCK_SAMPLES = 1 << 20  # per channel


@dataclass(frozen=True)
class Audio:
    """Audio in memory.

    Attributes:
        samples: float32 `(channels, samples)`, full scale 1.
        sample_rate: samples per second.
        subtype: the sample format of the file by soundfile's name, or an empty string.
        notes: the repairs that reading did, as sentences for the user.
    """

    samples: FloatArray
    sample_rate: int
    subtype: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the shape of the samples.

        Raises:
            InputError: the shape is not (channels, samples).
        """
        if np.ndim(self.samples) != 2:
            raise InputError(
                f"samples have the shape {np.shape(self.samples)}, not (channels, samples)",
                "use samples[None] for an array of one channel",
            )

    @property
    def length_s(self) -> float:
        """Length in seconds."""
        return float(self.samples.shape[-1] / self.sample_rate)

    @property
    def length(self) -> int:
        """Samples per channel."""
        return int(self.samples.shape[-1])

    @property
    def channels(self) -> int:
        """Number of channels."""
        return int(self.samples.shape[0])

    def blocks(self) -> Iterator[FloatArray]:
        """Yield the samples in blocks, as a `Recording` does."""
        for start in range(0, self.length, _BLOCK_SAMPLES):
            yield self.samples[:, start : start + _BLOCK_SAMPLES]

    def save(self, path: Path | str) -> int:
        """Write to a file in the format of its extension; return the number of clipped samples.

        Raises:
            UsageError: the extension is not supported.
            OutputError: the file cannot be written.
        """
        return write_audio(path, self.samples, self.sample_rate)

    def mono(self) -> Audio:
        """Return the mean of the channels as one channel."""
        mixed = self.samples.mean(axis=0, dtype=np.float32, keepdims=True)
        return replace(self, samples=mixed)


def read_audio(source: Path | str | bytes, name: str | None = None, repair: bool = False) -> Audio:
    """Read an audio file, or the bytes of one, into memory; see `open_recording`.

    Raises:
        InputError: the input is not audio, is damaged or empty, or has NaN or infinite
            samples.
    """
    recording = open_recording(source, name, repair, max_cached_samples=math.inf)
    samples = np.ascontiguousarray(np.concatenate(list(recording.blocks()), axis=1))
    return Audio(samples, recording.sample_rate, recording.subtype, recording.notes)


def audio_length_s(path: Path) -> float:
    """Return the length of an audio file in seconds, according to its header.

    If the header does not state the length, decode the file block by block.

    Raises:
        InputError: the file is not in a supported audio format, or is damaged.
    """
    with EncodedAudio(path, str(path)).open() as decoder:
        samples = decoder.header_length
        if samples is None:
            samples = sum(block.shape[1] for block in decoder.blocks())
        return float(samples / decoder.sample_rate)
