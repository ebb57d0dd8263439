"""The fast step against the reference step: the same losses, the same gradients.

At the paper's sizes in fp32; in double precision with small networks, which are ill-conditioned.

The optimisers stand still, so that both turns are compared at the same weights: AdamW's first
update is the sign of the gradient, and would make a matter of 1e-3 of a rounding.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from hifigan_cli.benchmarks.training import largest_difference, synthetic_batch
from hifigan_cli.config import GeneratorConfig, MelConfig, TrainConfig, preset
from hifigan_cli.config.schema import Config
from hifigan_cli.data.batches import Batch
from hifigan_cli.training.reference import ReferenceStep
from hifigan_cli.training.state import VocoderState
from hifigan_cli.training.step import both_turns, mel_transforms, to_micro_batches
from tests.training import small
from tests.training.runs import CPU

NEAR = 1e-5  # of the largest gradient of a tensor, in fp32
NEAR_DOUBLE = 1e-9


@dataclass
class Turns:
    """What one step computed before any update."""

    losses: list[float]
    gradients: list[Tensor]
    buffers: list[Tensor]


def noisy(config: Config, count: int, seed: int, *, double: bool = True) -> Batch:
    """Return segments that are neither noise nor silence."""
    train = config.train.model_copy(update={"batch_size": count, "seed": seed})
    batch = synthetic_batch(config.model_copy(update={"train": train}))
    return batch._replace(samples=batch.samples.double()) if double else batch


def fast(state: VocoderState, batch: Batch) -> Turns:
    """Run both turns of the fast step."""
    loss_d, losses = both_turns(state, batch, mel_transforms(state.config, CPU))
    return Turns([loss_d.item(), losses[0].item()], *seen(state))


def reference(state: VocoderState, batch: Batch) -> Turns:
    """Run both turns of the reference step."""
    step, mels = ReferenceStep(state), mel_transforms(state.config, CPU)
    loss_d = step.discriminators_turn(batch, mels)
    of_discriminators = [p.grad.clone() for p in discriminators(state) if p.grad is not None]
    loss_g = step.generators_turn(mels)
    of_generator = [p.grad for p in state.generator.parameters() if p.grad is not None]
    _, buffers = seen(state)
    return Turns([loss_d.item(), loss_g.item()], [*of_generator, *of_discriminators], buffers)


def discriminators(state: VocoderState) -> list[nn.Parameter]:
    return [*state.mpd.parameters(), *state.msd.parameters()]


def seen(state: VocoderState) -> tuple[list[Tensor], list[Tensor]]:
    parameters = [*state.generator.parameters(), *discriminators(state)]
    gradients = [p.grad for p in parameters if p.grad is not None]
    assert len(gradients) == len(parameters)
    return gradients, [*state.msd.buffers()]


def assert_equal(found: Turns, expected: Turns) -> None:
    near = NEAR_DOUBLE if found.gradients[0].dtype == torch.float64 else NEAR
    assert found.losses == pytest.approx(expected.losses, rel=1e-5)
    assert len(found.gradients) == len(expected.gradients)
    assert largest_difference(found.gradients, expected.gradients) <= near
    # Spectral norm made as many power iterations.
    assert len(found.buffers) == len(expected.buffers) > 0
    for ours, theirs in zip(found.buffers, expected.buffers, strict=True):
        torch.testing.assert_close(ours, theirs)


def two_of(config: Config, *, double: bool = True) -> tuple[VocoderState, VocoderState]:
    state = VocoderState(config, CPU)
    if double:
        for network in (state.generator, state.mpd, state.msd):
            network.double()
    return state, copy.deepcopy(state)


V3_LIKE = GeneratorConfig(
    resblock=2,
    upsample_rates=(8, 8, 3),
    upsample_kernel_sizes=(16, 16, 5),
    upsample_initial_channel=16,
    resblock_kernel_sizes=(3, 5),
    resblock_dilation_sizes=((1, 2), (2, 6)),
)


@pytest.mark.usefixtures("small_discriminators")
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("block", [1, 2])
def test_gradients_are_those_of_the_reference(seed: int, block: int) -> None:
    """Protects the batching, the orders of memory, and both residual blocks.

    1024 and 1344 samples are no multiple of most periods, so that MPD pads.
    """
    config = small.config(seed=seed)
    if block == 2:
        train = TrainConfig(seed=seed, segment_size=1344)
        config = Config(mel=MelConfig(hop_length=192), generator=V3_LIKE, train=train)
    one, other = two_of(config)
    batch = noisy(config, 3, seed)
    for _ in range(2):  # the second time with vectors that the first has moved
        assert_equal(fast(one, batch), reference(other, batch))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "seed", "segment"), [("v3", 1, 4096), ("v2", 2, 3328)])
def test_gradients_of_the_papers_networks(name: str, seed: int, segment: int) -> None:
    """Protects the same at the paper's sizes, where sums are long and groups many."""
    config = preset(name)
    train = config.train.model_copy(update={"seed": seed, "segment_size": segment})
    config = config.model_copy(update={"train": train})
    one, other = two_of(config, double=False)
    batch = noisy(config, 2, seed, double=False)
    assert_equal(fast(one, batch), reference(other, batch))


@pytest.mark.usefixtures("small_discriminators")
@pytest.mark.parametrize(("seed", "pieces"), [(1, 2), (2, 3), (3, 5)])
def test_pieces_add_up_to_the_batch(seed: int, pieces: int) -> None:
    """Protects accumulation, unequal pieces and shared power iterations included."""
    config = small.config(seed=seed)
    whole, other = two_of(config)
    train = config.train.model_copy(update={"accumulate": pieces})
    other.config = config.model_copy(update={"train": train})
    batch = noisy(config, 5, seed)
    assert len(to_micro_batches(other, batch, mel_transforms(config, CPU))) == pieces
    assert_equal(fast(other, batch), fast(whole, batch))


@pytest.mark.usefixtures("small_discriminators")
def test_a_difference_would_be_seen() -> None:
    """Protects the comparison itself: one more power iteration, or another batch, is noticed."""
    config = small.config()
    one, other = two_of(config)
    batch = noisy(config, 3, 0)
    one.optimized_discriminators.vectors()
    with pytest.raises(AssertionError):
        assert_equal(fast(one, batch), reference(other, batch))
    one, other = two_of(config)
    with pytest.raises(AssertionError):
        assert_equal(fast(one, noisy(config, 3, 1)), reference(other, batch))
