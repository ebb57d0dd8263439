"""What each sub-discriminator says of clips that the training does not see.

The losses of a step are sums over all eight, in which one that is dead is hidden. Here each is
asked by itself, a few segments at every validation, so that no step waits for it. The questions
change nothing: without gradients, and with the power iteration of spectral norm at rest, else
training would depend on how often it is validated.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from hifigan_cli.models.discriminators import PERIODS, SCALES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn

    from hifigan_cli.training.state import TrainState

JUDGES = (
    *(f"period_{period}" for period in PERIODS),
    *(f"scale_{2**scale}" for scale in range(SCALES)),
)
CLIPS_JUDGED = 8  # of the validation clips, over all processes
_SUMS = 4  # numbers kept of each judge


@dataclass(frozen=True)
class Verdict:
    """One sub-discriminator's judgement, a mean over clips.

    Attributes:
        real, fake: its two terms of the least-squares loss. At chance, when it answers a half to
            everything, each is 0.25; where it always knows, both are near 0.
        spread: the standard deviation of its answers, over recordings and generated sound alike;
            0 where it answers the same to everything.
    """

    real: float
    fake: float
    spread: float


class Jury:
    """Adds up what the sub-discriminators say, clip by clip."""

    def __init__(self) -> None:
        self._clips = 0
        self._sums = torch.zeros(len(JUDGES), _SUMS, dtype=torch.float64)

    @torch.no_grad()
    def hear(self, state: TrainState, recording: Tensor, generated: Tensor) -> None:
        """Judge the middle of a clip, `(samples,)` as recorded and as generated.

        A clip shorter than the segments that are trained on is left out.
        """
        segment = state.config.train.segment_samples
        if recording.shape[-1] < segment:
            return
        start = (recording.shape[-1] - segment) // 2
        pair = torch.stack([recording, generated])[:, None, start : start + segment]
        with at_rest(state.mpd, state.msd):
            said = [*state.mpd(pair.to(state.device)), *state.msd(pair.to(state.device))]
        for sums, judgement in zip(self._sums, said, strict=True):
            real, fake = judgement.scores.cpu().double()
            both = torch.cat([real.flatten(), fake.flatten()])
            terms = ((1 - real) ** 2, fake**2, both, both**2)
            sums += torch.stack([term.mean() for term in terms])
        self._clips += 1

    def sums(self) -> list[float]:
        """Return all that was added up, in a fixed order, to be summed over processes."""
        return [float(self._clips), *self._sums.flatten().tolist()]


def verdicts(sums: Sequence[float]) -> dict[str, Verdict]:
    """Return each sub-discriminator's verdict from a jury's sums; none where no clip was heard."""
    clips, *rest = sums
    if not clips:
        return {}
    found = {}
    for place, name in enumerate(JUDGES):
        part = [value / clips for value in rest[place * _SUMS : (place + 1) * _SUMS]]
        real, fake, mean, square = part
        found[name] = Verdict(real, fake, math.sqrt(max(square - mean**2, 0.0)))
    return found


@contextmanager
def at_rest(*networks: nn.Module) -> Iterator[None]:
    """Keep networks from changing their buffers while they are asked."""
    before = [network.training for network in networks]
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for network, training in zip(networks, before, strict=True):
            network.train(training)
