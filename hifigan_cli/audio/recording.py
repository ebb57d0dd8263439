"""A recording of any length, in constant memory: scanned once, then read in blocks.

The scan finds faults and levels before the first block is used, so that nothing is written for a
file whose last sample is NaN. Short recordings stay in memory after the scan.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from hifigan_cli.audio.decoding import EncodedAudio
from hifigan_cli.errors import (
    DamagedError,
    EmptyError,
    InputError,
    NotAudioError,
    NotFiniteError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hifigan_cli.types import FloatArray

# A float file may exceed full scale by a wrong gain; beyond this peak it is not audio.
MAX_PEAK = 1e4
_REPAIR_HINT = "use --repair to decode as much of it as possible"
# The length of an MP3 without a Xing header is an estimate, to within one frame.
_MPEG_FRAME_SAMPLES = 1152
MAX_CACHED_SAMPLES = 1 << 21  # over all channels: 8 MB, a minute and a half at 22,050 Hz


class AudioSource(Protocol):
    """Audio of a known length that can be read in blocks: an `Audio` or a `Recording`."""

    @property
    def sample_rate(self) -> int:
        """Samples per second."""

    @property
    def channels(self) -> int:
        """Number of channels."""

    @property
    def length(self) -> int:
        """Samples per channel."""

    def blocks(self) -> Iterator[FloatArray]:
        """Yield the audio as float32 `(channels, samples)`, full scale 1."""


@dataclass(frozen=True)
class Recording:
    """Audio in a file, or in the bytes of one.

    Attributes:
        encoded: the file or its bytes.
        sample_rate: samples per second.
        stored_channels: channels in the file.
        subtype: the sample format of the file by soundfile's name.
        statistics: the length, levels and faults of the samples.
        notes: the repairs that reading does, as sentences for the user.
        downmix: whether reading averages the channels.
        cached_blocks: all blocks as stored, for a short recording; otherwise None.
    """

    encoded: EncodedAudio
    sample_rate: int
    stored_channels: int
    subtype: str
    statistics: SampleStatistics
    notes: tuple[str, ...]
    downmix: bool = False
    cached_blocks: tuple[FloatArray, ...] | None = None

    @property
    def label(self) -> str:
        """The name in messages."""
        return self.encoded.label

    @property
    def channels(self) -> int:
        """Number of channels."""
        return 1 if self.downmix else self.stored_channels

    @property
    def length(self) -> int:
        """Samples per channel."""
        return self.statistics.length

    def blocks(self) -> Iterator[FloatArray]:
        """Yield blocks `(channels, samples)`, finite and within full scale.

        Raises:
            InputError: the file changed after the scan.
        """
        left = self.length
        for stored in self._stored_blocks():
            left -= stored.shape[1]
            block = self.statistics.repair_block(stored)
            yield block.mean(axis=0, dtype=np.float32, keepdims=True) if self.downmix else block
        if left:
            raise InputError(f"{self.label} changed while hifigan read it", "run the command again")

    def _stored_blocks(self) -> Iterator[FloatArray]:
        if self.cached_blocks is not None:
            yield from self.cached_blocks
            return
        with self.encoded.open() as decoder:
            yield from decoder.blocks()

    def mono(self) -> Recording:
        """Return the mean of the channels as one channel."""
        return replace(self, downmix=True)


def open_recording(
    source: Path | str | bytes,
    name: str | None = None,
    repair: bool = False,
    max_cached_samples: float = MAX_CACHED_SAMPLES,
) -> Recording:
    """Open an audio file, or the bytes of one, and scan all of it.

    int16 samples are divided by 32 768. A float file whose peak is above 1 is scaled to 1. With
    `repair`, samples that are not finite become 0, and a truncated file is read to its end; each
    adds a note. A recording of up to `max_cached_samples` over all channels stays in memory.

    Raises:
        InputError: the input is not audio, is damaged or empty, or has NaN or infinite
            samples.
    """
    if isinstance(source, bytes):
        encoded = EncodedAudio(source, name or "standard input")
    else:
        encoded = EncodedAudio(Path(source), name or str(source))
    label, damage = encoded.label, encoded.find_damage()
    if damage and not repair:
        raise DamagedError(f"{label} {damage}", _REPAIR_HINT)
    cached_blocks: list[FloatArray] | None = []
    with encoded.open() as decoder:
        statistics = SampleStatistics(decoder.channels)
        for block in decoder.blocks():
            statistics.update(block)
            if statistics.length * decoder.channels > max_cached_samples:
                cached_blocks = None
            if cached_blocks is not None:
                cached_blocks.append(block)
    if statistics.length == 0:
        raise EmptyError(f"{label} is empty: it has a header and no samples")
    missing = (decoder.header_length or 0) - statistics.length
    if not damage and missing > _MPEG_FRAME_SAMPLES:
        damage = f"is truncated or damaged: {missing} samples are missing"
        if not repair:
            raise DamagedError(f"{label} {damage}", _REPAIR_HINT)
    notes = statistics.check(label, repair)
    return Recording(
        encoded,
        decoder.sample_rate,
        decoder.channels,
        decoder.subtype,
        statistics,
        (f"{label} {damage}", *notes) if damage else tuple(notes),
        cached_blocks=None if cached_blocks is None else tuple(cached_blocks),
    )


class SampleStatistics:
    """The length, levels and faults of samples. NaN and infinite samples count as silence.

    Attributes:
        length: samples per channel.
        low, high: the extremes.
    """

    def __init__(self, channels: int) -> None:
        self.length = 0
        self.low = self.high = 0.0
        self._sums = np.zeros(channels)
        self._nonfinite = 0
        self._first_nonfinite: dict[int, int] = {}  # channel -> sample

    def update(self, block: FloatArray) -> None:
        """Add a block `(channels, samples)`."""
        bad = ~np.isfinite(block)
        if bad.any():
            self._nonfinite += int(bad.sum())
            for channel in np.flatnonzero(bad.any(axis=1)):
                self._first_nonfinite.setdefault(
                    int(channel), self.length + int(bad[channel].argmax())
                )
            block = np.where(bad, np.float32(0), block)
        low, high = float(block.min()), float(block.max())
        # A constant recording has no zero between its extremes.
        self.low = min(self.low, low) if self.length else low
        self.high = max(self.high, high) if self.length else high
        self._sums += block.sum(axis=1, dtype=np.float64)
        self.length += block.shape[1]

    @property
    def peak(self) -> float:
        """The largest magnitude."""
        return max(-self.low, self.high)

    @property
    def full_scale_divisor(self) -> float:
        """The divisor that brings all samples within full scale."""
        return max(1.0, self.peak)

    @property
    def offset(self) -> float:
        """The largest magnitude of the mean of a channel, divided by `full_scale_divisor`."""
        return float(np.abs(self._sums).max()) / self.length / self.full_scale_divisor

    def check(self, label: str, repair: bool) -> list[str]:
        """Return the necessary repairs, as sentences for the user.

        Raises:
            NotFiniteError: samples are NaN or infinite, and `repair` is not set.
            NotAudioError: the level is too high for audio.
        """
        notes = []
        if self._nonfinite:
            message = f"{label} has {self._nonfinite} NaN or infinite samples"
            if not repair:
                channel = min(self._first_nonfinite)
                raise NotFiniteError(
                    f"{message}, the first at sample {self._first_nonfinite[channel]} "
                    f"of channel {channel}",
                    "use --repair to replace them by silence",
                )
            notes.append(f"{message}; silence replaces them")
        if self.peak > MAX_PEAK:
            raise NotAudioError(
                f"{label} is not audio: its peak is {self.peak:.3g} times full scale"
            )
        if self.peak > 1:
            notes.append(f"{label} is {self.peak:.3g} times full scale and is scaled down to it")
        return notes

    def repair_block(self, block: FloatArray) -> FloatArray:
        """Return a block with all samples finite and within full scale."""
        if self._nonfinite:
            block = np.where(np.isfinite(block), block, np.float32(0))
        divisor = self.full_scale_divisor
        return block / np.float32(divisor) if divisor > 1 else block
