"""Noisy log-mel -> clean log-mel, in front of the vocoder, in flat memory.

The network looks at each band's floor, the level it has while nobody speaks. A long recording has
no one floor, so it is taken over stretches of about half a minute and goes smoothly from one to the
next. All else that a frame depends on lies within `context_frames`; the network gets them on both
sides, so that the result does not depend on where the blocks are cut.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from hifigan_cli.errors import ModelError, UsageError
from hifigan_cli.models.enhancer import noise_floor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor

    from hifigan_cli.config import MelConfig
    from hifigan_cli.models.enhancerfile import EnhancerFile

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
        self, model: EnhancerFile, device: torch.device, limit_db: float | None = None
    ) -> None:
        if limit_db is not None and not limit_db >= 0:
            raise UsageError(
                f"an attenuation limit of {limit_db:g} dB is below 0", "0 leaves all as it is"
            )
        self.model = model
        self.limit_db = limit_db
        self._network = model.build(device)
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

    def enhance(self, mel: Tensor) -> Tensor:
        """Clean a whole log-mel `(channels, mels, frames)`."""
        return torch.cat(list(self.enhance_blocks([mel])), dim=-1)

    def enhance_blocks(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Clean a stream of log-mel blocks `(channels, mels, frames)` of any lengths."""
        window: list[Tensor] = []  # the block before, the block at hand, two that follow
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

    @torch.no_grad()
    def _enhanced(self, window: list[Tensor], at: int) -> Tensor:
        """Clean block `at` of those at hand."""
        context = self.model.enhancer.context_frames
        block = window[at]
        before = window[at - 1][..., -context:] if at else block[..., :0]
        after = window[at + 1][..., :context] if at + 1 < len(window) else block[..., :0]
        noisy = torch.cat((before, block, after), dim=-1)
        floor = self._floor(window, at, before.shape[-1], noisy.shape[-1])
        clean = self._network(noisy, floor)
        if self.limit_db is not None:
            clean = torch.maximum(clean, noisy - self.limit_db * _NEPER_PER_DB)
        result: Tensor = clean[..., before.shape[-1] : before.shape[-1] + block.shape[-1]]
        return result

    def _floor(self, window: list[Tensor], at: int, before: int, frames: int) -> Tensor:
        """Return the floor of each frame, `(channels, mels, frames)`: a line between centres."""
        block = window[at].shape[-1]
        places = torch.arange(frames, device=window[at].device) - before
        own = _neighbourhood_floor(window, at)
        result = own.expand(-1, -1, frames)
        for step in (-1, 1):
            other = at + step
            if 0 <= other < len(window):
                apart = (block + window[other].shape[-1]) / 2
                share = ((places - block / 2) * step / apart).clamp(0, 1)
                result = result + (_neighbourhood_floor(window, other) - own) * share
        return result


def _neighbourhood_floor(window: list[Tensor], at: int) -> Tensor:
    return noise_floor(torch.cat(window[max(0, at - 1) : at + 2], dim=-1))


def reblocked(blocks: Iterable[Tensor], frames: int) -> Iterator[Tensor]:
    """Cut a stream into blocks of `frames`; the last has up to twice as many, none is short."""
    held: Tensor | None = None
    for block in blocks:
        held = block if held is None else torch.cat((held, block), dim=-1)
        while held.shape[-1] >= 2 * frames:
            yield held[..., :frames]
            held = held[..., frames:]
    if held is not None and held.shape[-1]:
        yield held
