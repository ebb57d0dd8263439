"""The restorer: noisy log-mel -> clean log-mel, between the filter and the vocoder, in flat memory.

The network reads each band's floor, the level of the band while nobody speaks. The floor of a long
recording changes, so it is measured over six seconds to half a minute and moves smoothly from one
block to the next. Everything else that a frame depends on lies within `context_frames`; the network
gets them on both sides, so that the result does not depend on where the blocks are cut.

A recording of less than a second has too few frames for both: it is reflected at its ends, and its
floor is moved towards the usual floor of speech.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.audio.filterbank import filterbank
from hifigan_cli.enhancement.inference import load_inference, noise_floor
from hifigan_cli.enhancement.levels import SHORT_S, hold_level
from hifigan_cli.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from hifigan_cli.config import MelConfig
    from hifigan_cli.enhancement.model_file import EnhancerFile
    from hifigan_cli.types import FloatArray

# The vocoder starts when the first two blocks are there, so these are short; long blocks spend less
# on context. At the paper's hop length, 1024 frames are 12 s.
BLOCK_FRAMES = 1024
FIRST_FRAMES = 256
_TRAINED_FRAMES = 216  # the length of a pair in training
# In natural-log units, how far the floor of clean speech lies below its loud frames: the median
# over the bands of 36 clips of 11 speakers.
_SPEECH_RANGE = 5.0
_LOUD_QUANTILE = 0.9
_NEPER_PER_DB = math.log(10) / 20


class Restorer:
    """The enhancer network on a device.

    Attributes:
        model: the file of the network.
    """

    def __init__(self, model: EnhancerFile, device: str = "cpu") -> None:
        self.model = model
        self._infer = load_inference(model, device)
        # A block holds at least the context of its neighbors.
        self._first_frames = max(FIRST_FRAMES, model.enhancer.context_frames)
        self._short_frames = math.ceil(SHORT_S * model.mel.sample_rate / model.mel.hop_length)
        bank = filterbank(model.mel)
        # The number of bins in each band.
        widths = bank.sum(1) ** 2 / np.maximum((bank**2).sum(1), np.finfo(np.float64).tiny)
        self._widths = widths[:, None].astype(np.float32)

    def check(self, mel: MelConfig) -> None:
        """Check that a vocoder reads the mel that this restorer returns.

        Raises:
            ModelError: it reads another.
        """
        if mel != self.model.mel:
            raise ModelError(
                "the enhancer and the vocoder were trained on different mels",
                "--enhance filter leaves the enhancer out; `hifigan train-enhancer` trains another",
            )

    def restore_blocks(
        self,
        blocks: Iterable[FloatArray],
        recorded: Iterable[FloatArray] | None = None,
        limit_db: float | None = None,
        *,
        short: bool = False,
    ) -> Generator[FloatArray, None, None]:
        """Restore a stream of log-mel blocks `(channels, n_mels, frames)` of any lengths.

        `recorded` is the mel before any filter, in blocks of the same lengths; default: `blocks`.
        A `short` recording keeps its level. With `limit_db` no band falls further than that below
        the recorded mel.
        """
        if recorded is not None:
            pairs = zip(blocks, recorded, strict=True)
            blocks = (np.concatenate(pair, axis=1) for pair in pairs)
        # Two blocks before, the current block, the next one; empty where there is none.
        window: deque[FloatArray] = deque(maxlen=4)
        for block in reblocked(blocks, self._first_frames, BLOCK_FRAMES):
            if not window:
                window.extend([block[..., :0]] * 3)
            window.append(block)
            if window[2].size:
                yield self._restore_block(window, limit_db, short=short)
        if window:
            window.append(window[-1][..., :0])
            yield self._restore_block(window, limit_db, short=short)

    def _restore_block(
        self, window: Iterable[FloatArray], limit_db: float | None, *, short: bool
    ) -> FloatArray:
        """Restore the third block of a window, within the limit.

        The bands of a block are those of the mel, then those of the recorded mel, if there is one.
        """
        n_mels = self.model.mel.n_mels
        oldest, before, block, after = window
        recorded = block[:, -n_mels:]
        mels = [each[:, :n_mels] for each in (oldest, before, block, after)]
        if short and not before.size and not after.size:
            clean = self._restore_short(mels[2], recorded)
        else:
            clean = self._restore_long(*mels)
        if limit_db is not None:
            clean = np.maximum(clean, recorded - np.float32(limit_db * _NEPER_PER_DB))
        return clean

    def _restore_long(
        self, oldest: FloatArray, before: FloatArray, block: FloatArray, after: FloatArray
    ) -> FloatArray:
        """Restore a block with context from both of its neighbors."""
        context = self.model.enhancer.context_frames
        left = before[..., -context:]
        noisy = np.concatenate((left, block, after[..., :context]), axis=-1)
        start, stop = left.shape[-1], left.shape[-1] + block.shape[-1]
        floor = noise_floor(np.concatenate((before, block, after), axis=-1))
        if before.size:
            # A line from the floor around the previous block to that around this one.
            previous = noise_floor(np.concatenate((oldest, before, block), axis=-1))
            share = (np.arange(noisy.shape[-1], dtype=np.float32) - start) / block.shape[-1]
            floor = previous + (floor - previous) * share.clip(0, 1)
        result: FloatArray = self._infer(noisy, floor)[..., start:stop]
        return result

    def _restore_short(self, mel: FloatArray, recorded: FloatArray) -> FloatArray:
        """Restore a mel that is too short for the network, at the level of the recording."""
        frames = mel.shape[-1]
        missing = max(0, _TRAINED_FRAMES - frames)
        before = missing // 2
        noisy = np.pad(mel, ((0, 0), (0, 0), (before, missing - before)), mode="reflect")
        floor = noise_floor(mel)
        loud = np.quantile(mel, _LOUD_QUANTILE, axis=-1, keepdims=True)
        usual = np.minimum(floor, loud.astype(np.float32) - np.float32(_SPEECH_RANGE))
        floor = usual + (floor - usual) * np.float32(frames / self._short_frames)
        clean = self._infer(noisy, floor)[..., before : before + frames]
        held = hold_level(np.exp(clean), np.exp(recorded), self._widths)
        result: FloatArray = np.log(held)
        return result


def reblocked(blocks: Iterable[FloatArray], first: int, most: int) -> Iterator[FloatArray]:
    """Cut a stream into two blocks of `first` frames, then of twice as many each, up to `most`.

    Only a single block is shorter than `first`: the last one takes the remainder.
    """
    held: FloatArray | None = None
    frames, longer = first, first
    for block in blocks:
        held = block if held is None else np.concatenate((held, block), axis=-1)
        while held.shape[-1] >= frames + first:
            yield held[..., :frames]
            held = held[..., frames:]
            frames, longer = longer, max(first, min(2 * longer, most))
    if held is not None and held.shape[-1]:
        yield held
