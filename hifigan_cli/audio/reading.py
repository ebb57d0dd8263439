"""Any audio file or stream -> float32 samples in memory.

Everything that could surprise a later stage is settled on the way (`decoding`, `recording`): what
is not audio, lengths that a header only claims, samples that are not numbers, levels beyond full
scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.audio.decoding import Encoded
from hifigan_cli.audio.recording import open_recording
from hifigan_cli.audio.writing import write_audio
from hifigan_cli.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hifigan_cli.types import FloatArray

_BLOCK_SAMPLES = 1 << 20  # a channel


@dataclass(frozen=True)
class Audio:
    """Sound in memory.

    Attributes:
        samples: float32 `(channels, samples)`, full scale 1.
        sample_rate: samples per second.
        subtype: soundfile's name of how the file stored it, or an empty string.
        notes: what reading had to mend, as sentences for the user.
    """

    samples: FloatArray
    sample_rate: int
    subtype: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse samples of another form.

        Raises:
            InputError: says which.
        """
        if np.ndim(self.samples) != 2:
            raise InputError(
                f"samples of the shape {np.shape(self.samples)} are not (channels, samples)",
                "samples[None] makes one channel of an array",
            )

    @property
    def length_s(self) -> float:
        """Length in seconds."""
        return float(self.samples.shape[-1] / self.sample_rate)

    @property
    def length(self) -> int:
        """Samples a channel."""
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
        """Write to a file whose extension names the format; return how many samples clipped.

        Raises:
            UsageError: an extension that is not written.
            OutputError: the file system refused.
        """
        return write_audio(path, self.samples, self.sample_rate)

    def mono(self) -> Audio:
        """Return the mean of the channels, as one channel."""
        mixed = self.samples.mean(axis=0, dtype=np.float32, keepdims=True)
        return replace(self, samples=mixed)


def read_audio(source: Path | str | bytes, name: str | None = None, repair: bool = False) -> Audio:
    """Read a whole audio file, or the bytes of one; see `open_recording`.

    Raises:
        InputError: not audio, damaged, empty, or with samples that are not numbers.
    """
    found = open_recording(source, name, repair, held_samples=math.inf)
    samples = np.ascontiguousarray(np.concatenate(list(found.blocks()), axis=1))
    return Audio(samples, found.sample_rate, found.subtype, found.notes)


def audio_length_s(path: Path) -> float:
    """Return the length in seconds that an audio file's header announces.

    Only a stream whose header does not say it is decoded, block by block.

    Raises:
        InputError: not audio that is read, or damaged.
    """
    with Encoded(path, str(path)).opened() as decoder:
        samples = decoder.announced
        if samples is None:
            samples = sum(block.shape[1] for block in decoder.blocks())
        return float(samples / decoder.sample_rate)
