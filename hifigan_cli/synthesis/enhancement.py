"""Noisy log-mel -> clean log-mel, in front of the vocoder, in flat memory.

The network looks at each band's floor, the level it has while nobody speaks. A long recording has
no one floor, so it is taken over stretches of about half a minute and goes smoothly from one to the
next. All else that a frame depends on lies within `context_frames`; the network gets them on both
sides, so that the result does not depend on where the blocks are cut.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.errors import ModelError, UsageError
from hifigan_cli.synthesis.cleaners import make_cleaner, noise_floor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from hifigan_cli.config import MelConfig
    from hifigan_cli.models.enhancerfile import EnhancerFile

    Mel = npt.NDArray[np.float32]

# About 12 s at the paper's hop. The floor of a block is taken over it and both its neighbours.
BLOCK_FRAMES = 1024
_NEPER_PER_DB = math.log(10) / 20


class Enhancement:
    """An enhancer on a device, and how far it may go.

    Attributes:
        model: the file it was made of.
        limit_db: no band is lowered by more; None: no limit.
    """

    def __init__(
        self, model: EnhancerFile, device: str = "cpu", limit_db: float | None = None
    ) -> None:
        if limit_db is not None and not limit_db >= 0:
            raise UsageError(
                f"an attenuation limit of {limit_db:g} dB is below 0", "0 leaves all as it is"
            )
        self.model = model
        self.limit_db = limit_db
        self._clean = make_cleaner(model, device)
        self._block_frames = max(BLOCK_FRAMES, 2 * model.enhancer.context_frames)

    def check(self, mel: MelConfig) -> None:
        """Check that a vocoder reads the mel that this enhancement makes.

        Raises:
            ModelError: it reads another.
        """
        if mel != self.model.mel:
            raise ModelError(
                "the enhancer and the vocoder were trained on different mels",
                "--no-enhance leaves it out; `hifigan train-enhancer` makes one that fits",
            )

    def enhance(self, mel: Mel) -> Mel:
        """Clean a whole log-mel `(channels, mels, frames)`."""
        return np.concatenate(list(self.enhance_blocks([mel])), axis=-1)

    def enhance_blocks(self, blocks: Iterable[Mel]) -> Iterator[Mel]:
        """Clean a stream of log-mel blocks `(channels, mels, frames)` of any lengths."""
        window: list[Mel] = []  # the block before, the block at hand, two that follow
        at = 0
        for block in reblocked(blocks, self._block_frames):
            window.append(block)
            if len(window) - at > 2:
                yield self._enhanced(window, at)
                at += 1
                if at > 2:
                    window.pop(0)
                    at -= 1
        for place in range(at, len(window)):
            yield self._enhanced(window, place)

    def _enhanced(self, window: list[Mel], at: int) -> Mel:
        """Clean block `at` of those at hand."""
        context = self.model.enhancer.context_frames
        block = window[at]
        before = window[at - 1][..., -context:] if at else block[..., :0]
        after = window[at + 1][..., :context] if at + 1 < len(window) else block[..., :0]
        noisy = np.concatenate((before, block, after), axis=-1)
        floor = self._floor(window, at, before.shape[-1], noisy.shape[-1])
        clean = self._clean(noisy, floor)
        if self.limit_db is not None:
            clean = np.maximum(clean, noisy - np.float32(self.limit_db * _NEPER_PER_DB))
        result: Mel = clean[..., before.shape[-1] : before.shape[-1] + block.shape[-1]]
        return result

    def _floor(self, window: list[Mel], at: int, before: int, frames: int) -> Mel:
        """Return the floor of each frame, `(channels, mels, frames)`: a line between centres."""
        block = window[at].shape[-1]
        places = np.arange(frames, dtype=np.float32) - before
        own = _neighbourhood_floor(window, at)
        result: Mel = np.repeat(own, frames, axis=-1)
        for step in (-1, 1):
            other = at + step
            if 0 <= other < len(window):
                apart = (block + window[other].shape[-1]) / 2
                share = ((places - block / 2) * step / apart).clip(0, 1)
                result = result + (_neighbourhood_floor(window, other) - own) * share
        return result


def _neighbourhood_floor(window: list[Mel], at: int) -> Mel:
    return noise_floor(np.concatenate(window[max(0, at - 1) : at + 2], axis=-1))


def reblocked(blocks: Iterable[Mel], frames: int) -> Iterator[Mel]:
    """Cut a stream into blocks of `frames`; the last has up to twice as many, none is short."""
    held: Mel | None = None
    for block in blocks:
        held = block if held is None else np.concatenate((held, block), axis=-1)
        while held.shape[-1] >= 2 * frames:
            yield held[..., :frames]
            held = held[..., frames:]
    if held is not None and held.shape[-1]:
        yield held
