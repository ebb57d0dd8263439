"""What the samples of a recording come to, block by block: its length, its extremes, its faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.errors import NotAudioError, NotFiniteError

if TYPE_CHECKING:
    from hifigan_cli.types import FloatArray

# A float file may exceed full scale by mistake of level; beyond this it is no audio.
MAX_PEAK = 1e4


class Survey:
    """What was seen of a recording; samples that are not numbers count as silence.

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
        low, high = float(block.min()), float(block.max())  # NaN and infinity pass through these
        if not np.isfinite(low) or not np.isfinite(high):
            bad = ~np.isfinite(block)
            self._bad += int(bad.sum())
            for channel in np.flatnonzero(bad.any(axis=1)):
                self._first_bad.setdefault(int(channel), self.length + int(bad[channel].argmax()))
            block = np.where(bad, np.float32(0), block)
            low, high = float(block.min()), float(block.max())
        # A constant recording has no zero between its extremes.
        self.low, self.high = (
            (min(self.low, low), max(self.high, high)) if self.length else (low, high)
        )
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
        """Check that this is sound; return what has to be mended, as sentences for the user.

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

    def mended(self, block: FloatArray) -> FloatArray:
        """Return a block as it is to be used: finite, and within full scale."""
        if self._bad:
            block = np.where(np.isfinite(block), block, np.float32(0))
        return block / np.float32(self.gain) if self.gain > 1 else block
