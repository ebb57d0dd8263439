"""What each sub-discriminator answers to clips that the training does not see.

The losses of a step are sums over all eight, in which one that is dead is hidden. Here each is
asked separately, a few segments at every validation, so that no step waits for it. That changes
nothing: there are no gradients, and the power iteration of spectral norm rests, else training would
depend on how often it is validated.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from hifigan_cli.models.discriminators import PERIODS, SCALES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn

    from hifigan_cli.training.state import VocoderState

DISCRIMINATORS = (
    *(f"period_{period}" for period in PERIODS),
    *(f"scale_{2**scale}" for scale in range(SCALES)),
)
CLIPS = 8  # of the validation clips, over all processes
_SUMS = 4  # numbers kept of each discriminator


class DiscriminatorStatistics:
    """Adds up what the sub-discriminators answer, clip by clip."""

    def __init__(self) -> None:
        self._clips = 0
        self._sums = torch.zeros(len(DISCRIMINATORS), _SUMS, dtype=torch.float64)

    @torch.no_grad()
    def add(self, state: VocoderState, recording: Tensor, generated: Tensor) -> None:
        """Score the middle of a clip, `(samples,)` as recorded and as generated.

        A clip shorter than the segments that are trained on is left out.
        """
        segment = state.config.train.segment_samples
        if recording.shape[-1] < segment:
            return
        start = (recording.shape[-1] - segment) // 2
        pair = torch.stack([recording, generated])[:, None, start : start + segment]
        with buffers_unchanged(state.mpd, state.msd):
            outputs = [*state.mpd(pair.to(state.device)), *state.msd(pair.to(state.device))]
        for sums, output in zip(self._sums, outputs, strict=True):
            real, fake = output.scores.cpu().double()
            both = torch.cat([real.flatten(), fake.flatten()])
            terms = ((1 - real) ** 2, fake**2, both, both**2)
            sums += torch.stack([term.mean() for term in terms])
        self._clips += 1

    def sums(self) -> list[float]:
        """Return all that was added up, in a fixed order, to be summed over processes."""
        return [float(self._clips), *self._sums.flatten().tolist()]


def means(sums: Sequence[float]) -> dict[str, float]:
    """Return three figures of each sub-discriminator, as means over the clips; none without clips.

    `period_2.real` and `period_2.fake` are its two terms of the least-squares loss. At chance, when
    it answers a half to everything, each is 0.25; where it always knows, both are near 0.
    `period_2.spread` is the standard deviation of its scores, over recordings and generated sound
    alike: 0 where it answers the same to everything.
    """
    clips, *rest = sums
    if not clips:
        return {}
    found = {}
    for place, name in enumerate(DISCRIMINATORS):
        row = [value / clips for value in rest[place * _SUMS : (place + 1) * _SUMS]]
        found[f"{name}.real"], found[f"{name}.fake"], mean, square = row
        found[f"{name}.spread"] = math.sqrt(max(square - mean**2, 0.0))
    return found


@contextmanager
def buffers_unchanged(*networks: nn.Module) -> Iterator[None]:
    """Keep networks from changing their buffers in a forward pass."""
    before = [network.training for network in networks]
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for network, training in zip(networks, before, strict=True):
            network.train(training)
