"""How far the gradients of the fast step lie from the reference step's, at the same weights."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from hifigan_cli.training.reference import ReferenceStep
from hifigan_cli.training.step import (
    discriminators_turn,
    generate,
    generators_turn,
    to_micro_batches,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from hifigan_cli.data.batches import Batch
    from hifigan_cli.training.state import VocoderState
    from hifigan_cli.training.step import MelTransforms


def gradient_difference(state: VocoderState, batch: Batch, mels: MelTransforms) -> float:
    """Return the largest difference between the two, relative to its tensor's largest gradient.

    No optimiser moves: after one update two roundings would lie as far apart as two gradients. The
    state's gradients are cleared.
    """
    vectors = copy.deepcopy(state.msd.state_dict())
    reference = ReferenceStep(state)
    reference.discriminators_turn(batch, mels)
    expected = [*_taken(state.mpd), *_taken(state.msd)]
    reference.generators_turn(mels)
    expected += _taken(state.generator)
    _clear(state)

    state.msd.load_state_dict(vectors)  # back to where the power iterations began
    pieces = to_micro_batches(state, batch, mels)
    kept = generate(state, pieces[0]) if len(pieces) == 1 else None
    discriminators_turn(state, pieces, kept)
    generators_turn(state, pieces, kept, mels)
    found = [*_taken(state.mpd), *_taken(state.msd), *_taken(state.generator)]
    _clear(state)
    return largest_difference(found, expected)


def largest_difference(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Return the largest difference between gradients, relative to each tensor's largest.

    A tensor of one number (a last layer's gain or bias) may be nothing but the rest of large terms
    that cancel; it is measured by its neighbours, which are the same layer's.
    """
    largest = [float(of.abs().max()) for of in expected]
    differences = []
    for place, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        near = (
            slice(max(0, place - 1), place + 3) if theirs.numel() == 1 else slice(place, place + 1)
        )
        differences.append(float((ours - theirs).abs().max()) / max(*largest[near], 1e-30))
    return max(differences)


def _taken(network: nn.Module) -> list[Tensor]:
    return [p.grad.clone() for p in network.parameters() if p.grad is not None]


def _clear(state: VocoderState) -> None:
    for network in (state.generator, state.mpd, state.msd):
        network.zero_grad()
