"""What synthesis reports while it works; the core prints nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Note:
    """A sentence for the user; a warning if it concerns the quality of the result."""

    text: str
    warning: bool = False


@dataclass(frozen=True)
class FileProgress:
    """How many files of a run are finished, and which was the last."""

    done: int
    total: int
    source: Path | None = None


@dataclass(frozen=True)
class Synthesized:
    """A file that was written.

    Attributes:
        samples: per channel.
        sample_rate: samples per second.
        clipped: samples that were held at full scale.
        elapsed_s: seconds of work on this file.
    """

    source: Path
    target: Path
    samples: int
    sample_rate: int
    channels: int
    clipped: int
    elapsed_s: float

    @property
    def length_s(self) -> float:
        """Seconds of speech."""
        return self.samples / self.sample_rate

    @property
    def real_time_factor(self) -> float:
        """Seconds of speech per second of work."""
        return self.length_s / self.elapsed_s


@dataclass(frozen=True)
class MelWritten:
    """A mel file that was written, `(n_mels, frames)`."""

    source: Path
    target: Path
    n_mels: int
    frames: int


Event = Note | FileProgress | Synthesized | MelWritten
Report = Callable[[Event], None]
