"""The optimized step has the losses and gradients of the reference step.

The paper's networks are compared in fp32; small ones are ill-conditioned and need double precision.

The optimizers do not run, so that all gradients are compared at the same weights: AdamW's first
update is the sign of the gradient, which would turn a rounding error into 1e-3.
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
from hifigan_cli.training.step import compute_gradients, mel_transforms, to_micro_batches
from tests.training import small
from tests.training.runs import CPU

TOLERANCE = 1e-5  # relative to the largest gradient of a tensor, in fp32
TOLERANCE_DOUBLE = 1e-9


@dataclass
class StepResult:
    """The losses, gradients and buffers of one step before any update."""

    losses: list[float]
    gradients: list[Tensor]
    buffers: list[Tensor]


def speech_like_batch(config: Config, count: int, seed: int, *, double: bool = True) -> Batch:
    """Return segments that are neither noise nor silence."""
    train = config.train.model_copy(update={"batch_size": count, "seed": seed})
    batch = synthetic_batch(config.model_copy(update={"train": train}))
    return batch._replace(samples=batch.samples.double()) if double else batch


def optimized(state: VocoderState, batch: Batch) -> StepResult:
    """Compute the gradients of the optimized step."""
    loss_d, losses = compute_gradients(state, batch, mel_transforms(state.config, CPU))
    return StepResult([loss_d.item(), losses[0].item()], *gradients_and_buffers(state))


def reference(state: VocoderState, batch: Batch) -> StepResult:
    """Compute the gradients of the reference step."""
    step, mels = ReferenceStep(state), mel_transforms(state.config, CPU)
    loss_d = step.discriminator_backward(batch, mels)
    gradients_d = [p.grad.clone() for p in discriminators(state) if p.grad is not None]
    loss_g = step.generator_backward(mels)
    gradients_g = [p.grad for p in state.generator.parameters() if p.grad is not None]
    _, buffers = gradients_and_buffers(state)
    return StepResult([loss_d.item(), loss_g.item()], [*gradients_g, *gradients_d], buffers)


def discriminators(state: VocoderState) -> list[nn.Parameter]:
    return [*state.mpd.parameters(), *state.msd.parameters()]


def gradients_and_buffers(state: VocoderState) -> tuple[list[Tensor], list[Tensor]]:
    parameters = [*state.generator.parameters(), *discriminators(state)]
    gradients = [p.grad for p in parameters if p.grad is not None]
    assert len(gradients) == len(parameters)
    return gradients, [*state.msd.buffers()]


def assert_equal(result: StepResult, expected: StepResult) -> None:
    double = result.gradients[0].dtype == torch.float64
    tolerance = TOLERANCE_DOUBLE if double else TOLERANCE
    assert result.losses == pytest.approx(expected.losses, rel=1e-5)
    assert len(result.gradients) == len(expected.gradients)
    assert largest_difference(result.gradients, expected.gradients) <= tolerance
    # Spectral norm ran equally many power iterations.
    assert len(result.buffers) == len(expected.buffers) > 0
    for value, expected_value in zip(result.buffers, expected.buffers, strict=True):
        torch.testing.assert_close(value, expected_value)


def two_states(config: Config, *, double: bool = True) -> tuple[VocoderState, VocoderState]:
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
def test_gradients_equal_the_reference(seed: int, block: int) -> None:
    """Check batching, memory layouts and both residual blocks.

    1024 and 1344 samples are not multiples of most periods, so MPD pads.
    """
    config = small.config(seed=seed)
    if block == 2:
        train = TrainConfig(seed=seed, segment_size=1344)
        config = Config(mel=MelConfig(hop_length=192), generator=V3_LIKE, train=train)
    state, copied = two_states(config)
    batch = speech_like_batch(config, 3, seed)
    for _ in range(2):  # the second time with updated vectors of spectral norm
        assert_equal(optimized(state, batch), reference(copied, batch))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "seed", "segment"), [("v3", 1, 4096), ("v2", 2, 3328)])
def test_gradients_of_full_size_networks(name: str, seed: int, segment: int) -> None:
    """Check the paper's sizes, with longer sums and more groups."""
    config = preset(name)
    train = config.train.model_copy(update={"seed": seed, "segment_size": segment})
    config = config.model_copy(update={"train": train})
    state, copied = two_states(config, double=False)
    batch = speech_like_batch(config, 2, seed, double=False)
    assert_equal(optimized(state, batch), reference(copied, batch))


@pytest.mark.usefixtures("small_discriminators")
@pytest.mark.parametrize(("seed", "count"), [(1, 2), (2, 3), (3, 5)])
def test_micro_batches_add_up_to_the_batch(seed: int, count: int) -> None:
    """Check accumulation with unequal micro-batches, which share a power iteration."""
    config = small.config(seed=seed)
    state, accumulating = two_states(config)
    train = config.train.model_copy(update={"micro_batches": count})
    accumulating.config = config.model_copy(update={"train": train})
    batch = speech_like_batch(config, 5, seed)
    assert len(to_micro_batches(accumulating, batch, mel_transforms(config, CPU))) == count
    assert_equal(optimized(accumulating, batch), optimized(state, batch))


@pytest.mark.usefixtures("small_discriminators")
def test_comparison_detects_differences() -> None:
    """Check that the comparison fails after an extra power iteration and with another batch."""
    config = small.config()
    state, copied = two_states(config)
    batch = speech_like_batch(config, 3, 0)
    state.optimized_discriminators.power_iteration()
    with pytest.raises(AssertionError):
        assert_equal(optimized(state, batch), reference(copied, batch))
    state, copied = two_states(config)
    other_batch = speech_like_batch(config, 3, 1)
    with pytest.raises(AssertionError):
        assert_equal(optimized(state, other_batch), reference(copied, batch))
