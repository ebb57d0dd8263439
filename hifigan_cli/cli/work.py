"""What passes between a synthesis command and the session that runs it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from hifigan_cli.audio.writing import audio_writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hifigan_cli.synthesis.jobs import Job
    from hifigan_cli.types import FloatArray


@dataclass(frozen=True)
class Speech:
    """Synthesis of one source, about to happen: blocks `(channels, samples)` as they are made.

    Attributes:
        samples: says how many samples a channel there will be, as soon as that is known.
    """

    blocks: Iterator[FloatArray]
    rate_hz: int
    channels: int
    samples: Callable[[], int | None]


@dataclass(frozen=True)
class Opened:
    """A source that was read.

    Attributes:
        mels: its log-mel, blocks `(channels, mels, frames)`.
        speech: makes of the samples of these what is to be written.
        notes: what the user may like to know of it.
        warnings: what the user should know of it.
        complete: all blocks of the mel, where they have been computed ahead; else None.
    """

    mels: Iterator[FloatArray]
    speech: Callable[[Iterator[FloatArray]], Speech]
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()
    complete: tuple[FloatArray, ...] | None = None


@dataclass(frozen=True)
class Work:
    """What a command does with one source.

    Attributes:
        suffixes: of the files that it takes from a folder.
        open: reads a source; may run in another thread, ahead of time, and prints nothing.
        length_s: tells the length of a file's speech without reading it all.
        prepare: makes ready what `open` needs, before the first.
        incoming: takes stdin as it comes; None: it is read whole.
    """

    suffixes: frozenset[str]
    open: Callable[[Path | bytes], Opened]
    length_s: Callable[[Path], float]
    prepare: Callable[[], object] = lambda: None
    incoming: Callable[[IO[bytes]], Speech] | None = None


@dataclass(frozen=True)
class Begun:
    """Speech that is being made, and when that began."""

    speech: Speech
    started: float


@dataclass(frozen=True)
class Written:
    """What became of one source."""

    samples: int
    rate_hz: int
    channels: int
    clipped: int
    elapsed_s: float

    @property
    def length_s(self) -> float:
        """Seconds of speech."""
        return self.samples / self.rate_hz

    @property
    def factor(self) -> float:
        """Seconds of speech a second of work."""
        return self.length_s / self.elapsed_s


def write_speech(job: Job, speech: Speech, blocks: Iterator[FloatArray], started: float) -> Written:
    """Write the samples of a speech to a job's target, atomically.

    Raises:
        OutputError: the file system refused.
    """
    samples = 0
    with audio_writer(job.target, speech.rate_hz, speech.channels) as writer:
        for block in blocks:
            writer.write(block)
            samples += block.shape[1]
    elapsed_s = time.perf_counter() - started
    return Written(samples, speech.rate_hz, speech.channels, writer.clipped, elapsed_s)
