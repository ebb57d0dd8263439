"""Events that synthesis reports while it runs; the core itself prints nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hifigan_cli.types import Notice

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class FileProgress:
    """The number of finished files of a run, and the last of them."""

    done: int
    total: int
    source: Path | None = None


@dataclass(frozen=True)
class AudioWritten:
    """An audio file was written.

    Attributes:
        n_samples: samples per channel.
        sample_rate: in Hz.
        clipped: number of samples that were clipped to full scale.
        elapsed_s: processing time of this file, in seconds.
    """

    source: Path
    target: Path
    n_samples: int
    sample_rate: int
    channels: int
    clipped: int
    elapsed_s: float

    @property
    def length_s(self) -> float:
        """Duration of the speech, in seconds."""
        return self.n_samples / self.sample_rate

    @property
    def times_real_time(self) -> float:
        """Seconds of speech per second of processing."""
        return self.length_s / self.elapsed_s


@dataclass(frozen=True)
class MelWritten:
    """A mel file `(n_mels, frames)` was written."""

    source: Path
    target: Path
    n_mels: int
    frames: int


Event = Notice | FileProgress | AudioWritten | MelWritten
EventHandler = Callable[[Event], None]
