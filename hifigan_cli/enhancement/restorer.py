"""The restorer: noisy log-mel -> clean log-mel, between the filter and the vocoder, in flat memory.

The network looks at each band's floor, the level it has while nobody speaks. A long recording has
no one floor, so it is taken over stretches of six seconds to half a minute and goes smoothly from
one to the next.
All else that a frame depends on lies within `context_frames`; the network gets them on both sides,
so that the result does not depend on where the blocks are cut.

A recording of less than a second has too few frames for both: it is reflected at its ends, and its
floor is partly what floors of speech are.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.audio.filterbank import filterbank
from hifigan_cli.audio.levels import LEVEL_LOSS_DB, SHORT_S, hold_level
from hifigan_cli.enhancement.inference import make_cleaner, noise_floor
from hifigan_cli.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    import numpy.typing as npt

    from hifigan_cli.config import MelConfig
    from hifigan_cli.enhancement.model_file import EnhancerFile

    Mel = npt.NDArray[np.float32]

# The vocoder starts when the first block and the one after it are there, so the first are short;
# long ones spend less on context. At the paper's hop, 1024 frames are 12 s.
BLOCK_FRAMES = 1024
FIRST_FRAMES = 256
_TRAINED_FRAMES = 216  # what the network saw at once in training
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
        self._clean = make_cleaner(model, device)
        # A block holds at least the context of its neighbours.
        self._first_frames = max(FIRST_FRAMES, model.enhancer.context_frames)
        self._short_frames = math.ceil(SHORT_S * model.mel.rate_hz / model.mel.hop_samples)
        bank = filterbank(model.mel)
        # The number of bins that each band stands for.
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

    def restore(self, mel: Mel) -> Mel:
        """Restore a complete log-mel `(channels, mels, frames)`."""
        return np.concatenate(list(self.restore_blocks([mel])), axis=-1)

    def restore_blocks(
        self,
        blocks: Iterable[Mel],
        recorded: Iterable[Mel] | None = None,
        limit_db: float | None = None,
    ) -> Generator[Mel, None, None]:
        """Restore a stream of log-mel blocks `(channels, mels, frames)` of any lengths.

        `recorded` is the mel before any filter, in blocks of the same lengths; by default it is
        the same as `blocks`. Less than a second keeps its level. With `limit_db` no band is
        lowered by more than that below it.
        """
        if recorded is not None:
            pairs = zip(blocks, recorded, strict=True)
            blocks = (np.concatenate(pair, axis=1) for pair in pairs)
        window: list[Mel] = []  # up to two blocks before, the current block, the one after
        at = 0
        for block in reblocked(blocks, self._first_frames, BLOCK_FRAMES):
            window.append(block)
            if len(window) - at > 1:
                yield self._limited(window, at, limit_db)
                at += 1
                if at > 2:
                    window.pop(0)
                    at -= 1
        if window:
            yield self._limited(window, at, limit_db)

    def _limited(self, window: list[Mel], at: int, limit_db: float | None) -> Mel:
        """Restore block `at` of a window, within the limit.

        Its bands are those of the mel, and after them those of the recorded one, if it is there.
        """
        n_mels = self.model.mel.n_mels
        recorded = window[at][:, -n_mels:]
        mels = [block[:, :n_mels] for block in window]
        if len(window) == 1 and recorded.shape[-1] <= self._short_frames:
            clean = self._short(mels[0], recorded)
        else:
            clean = self._restored(mels, at)
        if limit_db is not None:
            clean = np.maximum(clean, recorded - np.float32(limit_db * _NEPER_PER_DB))
        return clean

    def _restored(self, window: list[Mel], at: int) -> Mel:
        context = self.model.enhancer.context_frames
        block = window[at]
        before = window[at - 1][..., -context:] if at else block[..., :0]
        after = window[at + 1][..., :context] if at + 1 < len(window) else block[..., :0]
        noisy = np.concatenate((before, block, after), axis=-1)
        clean = self._clean(noisy, self._floor(window, at, before.shape[-1], noisy.shape[-1]))
        result: Mel = clean[..., before.shape[-1] : before.shape[-1] + block.shape[-1]]
        return result

    def _short(self, mel: Mel, recorded: Mel) -> Mel:
        """Restore what is too short for the network, and hold the recording's level."""
        frames = mel.shape[-1]
        missing = max(0, _TRAINED_FRAMES - frames)
        before = missing // 2
        noisy = np.pad(mel, ((0, 0), (0, 0), (before, missing - before)), mode="reflect")
        floor = noise_floor(mel)
        loud = np.quantile(mel, _LOUD_QUANTILE, axis=-1, keepdims=True)
        usual = np.minimum(floor, loud.astype(np.float32) - np.float32(_SPEECH_RANGE))
        floor = usual + (floor - usual) * np.float32(frames / self._short_frames)
        clean = self._clean(noisy, floor)[..., before : before + frames]
        held = hold_level(np.exp(clean), np.exp(recorded), LEVEL_LOSS_DB, self._widths)
        result: Mel = np.log(held)
        return result

    def _floor(self, window: list[Mel], at: int, before: int, frames: int) -> Mel:
        """Return the floor of each frame, `(channels, mels, frames)`.

        A line from the floor around the block before to that around this block.
        """
        own = _neighbourhood_floor(window, at)
        if at == 0:
            return own
        share = (np.arange(frames, dtype=np.float32) - before) / window[at].shape[-1]
        last = _neighbourhood_floor(window, at - 1)
        result: Mel = last + (own - last) * share.clip(0, 1)
        return result


def _neighbourhood_floor(window: list[Mel], at: int) -> Mel:
    """Return the floor of a block and both its neighbours, `(channels, mels, 1)`."""
    return noise_floor(np.concatenate(window[max(0, at - 1) : at + 2], axis=-1))


def reblocked(blocks: Iterable[Mel], first: int, most: int) -> Iterator[Mel]:
    """Cut a stream into two blocks of `first` frames, then of twice as many each, up to `most`.

    No block but a single one is shorter than `first`: the last one takes what would be left.
    """
    held: Mel | None = None
    frames, longer = first, first
    for block in blocks:
        held = block if held is None else np.concatenate((held, block), axis=-1)
        while held.shape[-1] >= frames + first:
            yield held[..., :frames]
            held = held[..., frames:]
            frames, longer = longer, max(first, min(2 * longer, most))
    if held is not None and held.shape[-1]:
        yield held
