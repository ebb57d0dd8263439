"""Enhance a noisy log-mel with the enhancer network, between noise filter and vocoder.

`MelEnhancer` works in blocks, with constant memory. The network reads each band's noise floor, its
level without speech. The floor of a long recording changes, so it is measured over six seconds to
half a minute and changes smoothly from one block to the next. Everything else that a frame depends
on is within `context_frames`. The network reads this context on both sides, so the result does not
depend on the block boundaries.

A recording of less than a second has too few frames: it is reflected at its ends, and its floor is
moved towards the typical floor of speech.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.audio.filterbank import filterbank
from hifigan_cli.enhancement.inference import load_inference, noise_floor
from hifigan_cli.enhancement.levels import SHORT_S, preserve_level
from hifigan_cli.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from hifigan_cli.config import MelConfig
    from hifigan_cli.enhancement.model_file import EnhancerFile
    from hifigan_cli.types import FloatArray

# The vocoder starts after the first two blocks, so these are short. Long blocks spend less time on
# context. At the paper's hop length, 1024 frames are 12 s.
BLOCK_FRAMES = 1024
FIRST_FRAMES = 256
_TRAINED_FRAMES = 216  # the length of a pair in training
# How far the floor of clean speech is below its loud frames, in natural-log units: the median over
# the bands of 36 clips of 11 speakers.
_SPEECH_RANGE = 5.0
_LOUD_QUANTILE = 0.9
_NEPER_PER_DB = math.log(10) / 20


class MelEnhancer:
    """The enhancer network on a device.

    Attributes:
        model: the content of the network's file.
    """

    def __init__(self, model: EnhancerFile, device: str = "cpu") -> None:
        self.model = model
        self._infer = load_inference(model, device)
        # A block is at least as long as the context that its neighbors read from it.
        self._first_frames = max(FIRST_FRAMES, model.enhancer.context_frames)
        self._short_frames = math.ceil(SHORT_S * model.mel.sample_rate / model.mel.hop_length)
        bank = filterbank(model.mel)
        # The number of bins in each band.
        widths = bank.sum(1) ** 2 / np.maximum((bank**2).sum(1), np.finfo(np.float64).tiny)
        self._widths = widths[:, None].astype(np.float32)

    def check(self, mel: MelConfig) -> None:
        """Check that a vocoder's mel is the mel that this enhancer returns.

        Raises:
            ModelError: the mels differ.
        """
        if mel != self.model.mel:
            raise ModelError(
                "the enhancer and the vocoder were trained on different mels",
                "use --enhance filter, or train another enhancer: `hifigan train-enhancer`",
            )

    def enhance_blocks(
        self,
        blocks: Iterable[FloatArray],
        recorded: Iterable[FloatArray] | None = None,
        attenuation_limit_db: float | None = None,
        *,
        short: bool = False,
    ) -> Generator[FloatArray, None, None]:
        """Enhance a stream of log-mel blocks `(channels, n_mels, frames)` of any length.

        `recorded` is the mel before the filter, in blocks of the same lengths; default: `blocks`.
        The level of a `short` recording is preserved. `attenuation_limit_db` is the maximum
        attenuation of a band relative to the recorded mel.
        """
        if recorded is not None:
            pairs = zip(blocks, recorded, strict=True)
            blocks = (np.concatenate(pair, axis=1) for pair in pairs)
        # The two previous blocks, the current block, the next block; empty if missing.
        window: deque[FloatArray] = deque(maxlen=4)
        for block in reblock(blocks, self._first_frames, BLOCK_FRAMES):
            if not window:
                window.extend([block[..., :0]] * 3)
            window.append(block)
            if window[2].size:
                yield self._enhance_block(window, attenuation_limit_db, short=short)
        if window:
            window.append(window[-1][..., :0])
            yield self._enhance_block(window, attenuation_limit_db, short=short)

    def _enhance_block(
        self, window: Iterable[FloatArray], attenuation_limit_db: float | None, *, short: bool
    ) -> FloatArray:
        """Enhance the third block of a window, within the limit.

        A block contains the bands of the mel, then those of the recorded mel, if there is one.
        """
        n_mels = self.model.mel.n_mels
        oldest, before, block, after = window
        recorded = block[:, -n_mels:]
        mels = [part[:, :n_mels] for part in (oldest, before, block, after)]
        if short and not before.size and not after.size:
            clean = self._enhance_short(mels[2], recorded)
        else:
            clean = self._enhance_long(*mels)
        if attenuation_limit_db is not None:
            clean = np.maximum(clean, recorded - np.float32(attenuation_limit_db * _NEPER_PER_DB))
        return clean

    def _enhance_long(
        self, oldest: FloatArray, before: FloatArray, block: FloatArray, after: FloatArray
    ) -> FloatArray:
        """Enhance a block with context from both neighbors."""
        context = self.model.enhancer.context_frames
        left = before[..., -context:]
        noisy = np.concatenate((left, block, after[..., :context]), axis=-1)
        start, stop = left.shape[-1], left.shape[-1] + block.shape[-1]
        floor = noise_floor(np.concatenate((before, block, after), axis=-1))
        if before.size:
            # Interpolate from the floor around the previous block to that around this block.
            previous = noise_floor(np.concatenate((oldest, before, block), axis=-1))
            share = (np.arange(noisy.shape[-1], dtype=np.float32) - start) / block.shape[-1]
            floor = previous + (floor - previous) * share.clip(0, 1)
        result: FloatArray = self._infer(noisy, floor)[..., start:stop]
        return result

    def _enhance_short(self, mel: FloatArray, recorded: FloatArray) -> FloatArray:
        """Enhance a mel that is too short for the network, and preserve the recording's level."""
        frames = mel.shape[-1]
        missing = max(0, _TRAINED_FRAMES - frames)
        before = missing // 2
        noisy = np.pad(mel, ((0, 0), (0, 0), (before, missing - before)), mode="reflect")
        floor = noise_floor(mel)
        loud = np.quantile(mel, _LOUD_QUANTILE, axis=-1, keepdims=True)
        typical_floor = np.minimum(floor, loud.astype(np.float32) - np.float32(_SPEECH_RANGE))
        floor = typical_floor + (floor - typical_floor) * np.float32(frames / self._short_frames)
        clean = self._infer(noisy, floor)[..., before : before + frames]
        magnitudes = preserve_level(np.exp(clean), np.exp(recorded), self._widths)
        result: FloatArray = np.log(magnitudes)
        return result


def reblock(
    blocks: Iterable[FloatArray], first_frames: int, max_frames: int
) -> Iterator[FloatArray]:
    """Cut a stream into two blocks of `first_frames`, then double the size up to `max_frames`.

    The last block includes the remainder. A block is shorter than `first_frames` only if it is the
    only one.
    """
    buffer: FloatArray | None = None
    frames, next_frames = first_frames, first_frames
    for block in blocks:
        buffer = block if buffer is None else np.concatenate((buffer, block), axis=-1)
        while buffer.shape[-1] >= frames + first_frames:
            yield buffer[..., :frames]
            buffer = buffer[..., frames:]
            frames, next_frames = next_frames, max(first_frames, min(2 * next_frames, max_frames))
    if buffer is not None and buffer.shape[-1]:
        yield buffer
