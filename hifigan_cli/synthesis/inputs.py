"""An input of synthesis that was opened: its mel, and the form of its result."""

from __future__ import annotations

import time
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hifigan_cli.synthesis.events import Note
    from hifigan_cli.types import FloatArray


class SynthesisInput:
    """An input that was opened.

    Attributes:
        mel_blocks: its log-mel as the model reads it, blocks `(channels, n_mels, frames)`.
        rate_hz: samples per second of the result.
        channels: of the result.
        samples: of the result, per channel; None: not known yet.
        notes: sentences for the user; warnings too.
        complete: all blocks of the mel, if they were computed ahead.
        prompt: whether blocks arrive over time and want an answer at once.
    """

    prompt = False

    def __init__(
        self,
        mel_blocks: Iterator[FloatArray],
        rate_hz: int,
        channels: int = 1,
        samples: int | None = None,
        notes: Sequence[Note] = (),
    ) -> None:
        self.mel_blocks = mel_blocks
        self.rate_hz, self.channels, self._samples = rate_hz, channels, samples
        self.notes = notes
        self.complete: list[FloatArray] | None = None
        self.started_s = 0.0

    @property
    def samples(self) -> int | None:
        """Samples per channel of the result, as soon as their number is known."""
        return self._samples

    def fit(self, blocks: Iterator[FloatArray]) -> Iterator[FloatArray]:
        """Turn the vocoder's samples `(channels, samples)` into those of the result."""
        return blocks

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
        self.complete = ahead if frames > 0 else None
