"""An opened input of synthesis: its mel, and the format of its output."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hifigan_cli.types import FloatArray, Notice


@dataclass
class SynthesisInput:
    """An opened input.

    Attributes:
        mel_blocks: its log-mel on the model's scale, in blocks `(channels, n_mels, frames)`.
        sample_rate: of the output, in Hz.
        channels: of the output.
        get_n_samples: returns the output's samples per channel; None while unknown.
        notices: messages for the user, warnings included.
        postprocess: turns the vocoder's samples `(channels, samples)` into the output's.
        low_latency: whether blocks arrive over time and should be synthesized at once.
        all_blocks: all blocks of the mel if they were computed ahead, otherwise empty.
        started_s: start time of its synthesis, less the time that it already took in a batch.
    """

    mel_blocks: Iterator[FloatArray]
    sample_rate: int
    channels: int
    get_n_samples: Callable[[], int | None]
    notices: Sequence[Notice] = ()
    postprocess: Callable[[Iterator[FloatArray]], Iterator[FloatArray]] = iter
    low_latency: bool = False
    all_blocks: Sequence[FloatArray] = field(default=(), init=False)
    started_s: float = field(default=0.0, init=False)

    def timed(self, blocks: Iterator[FloatArray], spent_s: float) -> Iterator[FloatArray]:
        """Yield the blocks; count the processing time from the first one, plus `spent_s`."""
        self.started_s = time.perf_counter() - spent_s
        yield from blocks

    def read_ahead(self, frames: int) -> None:
        """Compute the first frames of the mel now; set `all_blocks` if there are no more."""
        ahead: list[FloatArray] = []
        for block in self.mel_blocks:
            ahead.append(block)
            frames -= block.shape[-1]
            if frames <= 0:
                break
        self.mel_blocks = chain(ahead, self.mel_blocks)
        self.all_blocks = ahead if frames > 0 else ()
