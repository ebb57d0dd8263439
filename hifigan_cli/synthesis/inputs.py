"""An input of synthesis that was opened: its mel, and the form of its result."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hifigan_cli.synthesis.events import Note
    from hifigan_cli.types import FloatArray


@dataclass
class SynthesisInput:
    """An input that was opened.

    Attributes:
        mel_blocks: its log-mel as the model reads it, blocks `(channels, n_mels, frames)`.
        sample_rate: samples per second of the result.
        channels: of the result.
        samples: returns those of the result, per channel; None: not known yet.
        notes: sentences for the user; warnings too.
        fit: turns the vocoder's samples `(channels, samples)` into those of the result.
        prompt: whether blocks arrive over time and want an answer at once.
        complete: all blocks of the mel, if they were computed ahead.
        started_s: when its synthesis began, less what was spent on it before.
    """

    mel_blocks: Iterator[FloatArray]
    sample_rate: int
    channels: int
    samples: Callable[[], int | None]
    notes: Sequence[Note] = ()
    fit: Callable[[Iterator[FloatArray]], Iterator[FloatArray]] = iter
    prompt: bool = False
    complete: Sequence[FloatArray] = field(default=(), init=False)
    started_s: float = field(default=0.0, init=False)

    def timed(self, blocks: Iterator[FloatArray], spent_s: float) -> Iterator[FloatArray]:
        """Yield the blocks; the work on this input counts from the first one, and `spent_s`."""
        self.started_s = time.perf_counter() - spent_s
        yield from blocks

    def read_ahead(self, frames: int) -> None:
        """Compute the first frames of the mel now; `complete` if these are all."""
        ahead: list[FloatArray] = []
        for block in self.mel_blocks:
            ahead.append(block)
            frames -= block.shape[-1]
            if frames <= 0:
                break
        self.mel_blocks = chain(ahead, self.mel_blocks)
        self.complete = ahead if frames > 0 else ()
