"""A recording of any length, in flat memory: surveyed once, then read in blocks.

Faults and levels are known before the first block is used, so that nothing is written for a file
whose last sample is not a number. What is short is kept from that first look.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from hifigan_cli.audio.decoding import Encoded
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

# A float file may exceed full scale by mistake of level; beyond this it is no audio.
MAX_PEAK = 1e4
_REPAIR_HINT = "--repair decodes as much of it as possible"
# The length of an MP3 without a Xing header is an estimate, to within one frame.
_MPEG_FRAME_SAMPLES = 1152
HELD_SAMPLES = 1 << 21  # of all channels together: 8 MB, a minute and a half at the paper's rate


class Sound(Protocol):
    """Sound of a known length that comes in blocks: an `Audio`, or a `Recording`."""

    @property
    def sample_rate(self) -> int:
        """Samples per second."""

    @property
    def channels(self) -> int:
        """Number of channels."""

    @property
    def length(self) -> int:
        """Samples a channel."""

    def blocks(self) -> Iterator[FloatArray]:
        """Yield all of it as float32 `(channels, samples)`, full scale 1."""


@dataclass(frozen=True)
class Recording:
    """Sound in a file or in its bytes.

    Attributes:
        encoded: where it is.
        sample_rate: samples per second.
        stored_channels: channels in the file.
        subtype: soundfile's name of how the file stores it.
        survey: the length, levels and faults of its samples.
        notes: what reading has to repair, as sentences for the user.
        mixed: whether the channels are read as their mean.
        held: all blocks as they are stored, of what is short; else None.
    """

    encoded: Encoded
    sample_rate: int
    stored_channels: int
    subtype: str
    survey: Survey
    notes: tuple[str, ...]
    mixed: bool = False
    held: tuple[FloatArray, ...] | None = None

    @property
    def label(self) -> str:
        """What to call it."""
        return self.encoded.label

    @property
    def channels(self) -> int:
        """Number of channels."""
        return 1 if self.mixed else self.stored_channels

    @property
    def length(self) -> int:
        """Samples a channel."""
        return self.survey.length

    def blocks(self) -> Iterator[FloatArray]:
        """Yield `(channels, samples)`: finite, within full scale.

        Raises:
            InputError: the file was changed since it was surveyed.
        """
        left = self.length
        for stored in self._stored():
            left -= stored.shape[1]
            block = self.survey.repaired(stored)
            yield block.mean(axis=0, dtype=np.float32, keepdims=True) if self.mixed else block
        if left:
            raise InputError(f"{self.label} was changed while it was read")

    def _stored(self) -> Iterator[FloatArray]:
        if self.held is not None:
            yield from self.held
            return
        with self.encoded.opened() as decoder:
            yield from decoder.blocks()

    def mono(self) -> Recording:
        """Return the mean of the channels, as one channel."""
        return replace(self, mixed=True)


def open_recording(
    source: Path | str | bytes,
    name: str | None = None,
    repair: bool = False,
    held_samples: float = HELD_SAMPLES,
) -> Recording:
    """Survey an audio file, or the bytes of one.

    int16 samples are divided by 32 768. A float file whose peak is above 1 is scaled to 1. With
    `repair`, samples that are not finite become 0 and a truncated file gives what it holds; each
    with a note. Up to `held_samples`, of all channels together, are kept in memory.

    Raises:
        InputError: not audio, damaged, empty, or with samples that are not numbers.
    """
    if isinstance(source, bytes):
        encoded = Encoded(source, name or "standard input")
    else:
        encoded = Encoded(Path(source), name or str(source))
    label, damage = encoded.label, encoded.damage()
    if damage and not repair:
        raise DamagedError(f"{label} {damage}", _REPAIR_HINT)
    held: list[FloatArray] | None = []
    with encoded.opened() as decoder:
        survey = Survey(decoder.channels)
        for block in decoder.blocks():
            survey.add(block)
            held = None if survey.length * decoder.channels > held_samples else held
            if held is not None:
                held.append(block)
    if survey.length == 0:
        raise EmptyError(f"{label} is empty: it has a header and no samples")
    lost = (decoder.announced or 0) - survey.length
    if not damage and lost > _MPEG_FRAME_SAMPLES:
        damage = f"is truncated or damaged: {lost} samples are missing"
        if not repair:
            raise DamagedError(f"{label} {damage}", _REPAIR_HINT)
    found = survey.judge(label, repair)
    return Recording(
        encoded,
        decoder.sample_rate,
        decoder.channels,
        decoder.subtype,
        survey,
        (f"{label} {damage}", *found) if damage else tuple(found),
        held=None if held is None else tuple(held),
    )


class Survey:
    """The length, levels and faults of samples; those that are not numbers count as silence.

    Attributes:
        length: samples a channel.
        low, high: the extremes.
    """

    def __init__(self, channels: int) -> None:
        self.length = 0
        self.low = self.high = 0.0
        self._sums = np.zeros(channels)
        self._bad = 0
        self._first_bad: dict[int, int] = {}  # by channel

    def add(self, block: FloatArray) -> None:
        """Look at the next block `(channels, samples)`."""
        bad = ~np.isfinite(block)
        if bad.any():
            self._bad += int(bad.sum())
            for channel in np.flatnonzero(bad.any(axis=1)):
                self._first_bad.setdefault(int(channel), self.length + int(bad[channel].argmax()))
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
    def gain(self) -> float:
        """What to divide samples by, so that none exceeds full scale."""
        return max(1.0, self.peak)

    @property
    def offset(self) -> float:
        """The largest mean of a channel, as a magnitude of what is read."""
        return float(np.abs(self._sums).max()) / self.length / self.gain

    def judge(self, label: str, repair: bool) -> list[str]:
        """Return what has to be repaired, as sentences for the user.

        Raises:
            NotFiniteError: samples are not numbers, and `repair` is not set.
            NotAudioError: of a level that no sound has.
        """
        notes = []
        if self._bad:
            message = f"{label} has {self._bad} samples that are not numbers"
            if not repair:
                channel = min(self._first_bad)
                raise NotFiniteError(
                    f"{message}, the first at sample {self._first_bad[channel]} "
                    f"of channel {channel}",
                    "--repair replaces them by silence",
                )
            notes.append(f"{message}; they were replaced by silence")
        if self.peak > MAX_PEAK:
            raise NotAudioError(
                f"{label} has a peak of {self.peak:.3g} times full scale: this is not audio"
            )
        if self.peak > 1:
            notes.append(f"{label} exceeds full scale {self.peak:.3g} times; it was scaled to fit")
        return notes

    def repaired(self, block: FloatArray) -> FloatArray:
        """Return a block as it is to be used: finite, and within full scale."""
        if self._bad:
            block = np.where(np.isfinite(block), block, np.float32(0))
        return block / np.float32(self.gain) if self.gain > 1 else block
