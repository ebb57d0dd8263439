"""Steps as CUDA graphs: training is equal with and without them, also if a capture fails.

CUDA graphs need a GPU (tests/gpu). The code around them runs here with a simulated capture on the
CPU that does what a graph does: compute again, into the same memory, from its static input.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch

from hifigan_cli.training.cuda_graphs import WARM_UP_STEPS, Capture, GraphedStep, can_capture
from hifigan_cli.training.nonfinite_guard import NonfiniteGuard
from hifigan_cli.training.optimizers import (
    load_optimizer,
    named_parameters,
    optimizer_tensors,
    set_learning_rate,
)
from hifigan_cli.training.state import VocoderState
from hifigan_cli.training.step import Losses, mel_transforms, train_step
from tests.training import small
from tests.training.runs import CPU, noise

pytestmark = pytest.mark.usefixtures("small_discriminators")


class CpuCapture(Capture):
    """Runs the step for each replay, and not during the capture."""

    def __init__(self, state: VocoderState, failure: str = "") -> None:
        self.state, self.failure = state, failure
        self.captures = self.replays = 0

    def warm_up(self, run: Callable[[], Losses]) -> Losses:
        return run()

    def __call__(self, run: Callable[[], Losses]) -> tuple[Losses, Callable[[], None]]:
        if self.failure:
            self.state.step += 1  # as a partly run step would
            raise RuntimeError(self.failure)
        self.captures += 1
        adversarial_start = self.state.config.train.adversarial_start
        adversarial = self.state.step >= adversarial_start
        self.state.step += 1
        static_losses = Losses(*torch.zeros(len(Losses._fields)).unbind())

        def replay() -> None:
            self.replays += 1
            assert (self.state.step >= adversarial_start) == adversarial
            for output, value in zip(static_losses, run(), strict=True):
                output.copy_(value)

        return static_losses, replay


def set_learning_rates(state: VocoderState, step: int) -> None:
    for optimizer in (state.optimizer_g, state.optimizer_d):
        set_learning_rate(optimizer, 2e-4 * 0.5**step)


def weights(state: VocoderState) -> dict[str, torch.Tensor]:
    networks = (state.generator, state.mpd, state.msd)
    return {f"{n}.{k}": v for n, net in enumerate(networks) for k, v in net.state_dict().items()}


@pytest.mark.parametrize(
    "train", [{}, {"adversarial_start": 5, "ema_decay": 0.9}, {"micro_batches": 2}]
)
def test_graphed_training_is_equal(train: dict[str, int]) -> None:
    """Check losses, weights and step counter with a learning rate that changes at each step."""
    plain, graphed = (VocoderState(small.config(**train), CPU) for _ in range(2))
    mels, guard = mel_transforms(plain.config, CPU), NonfiniteGuard(CPU)
    capture = CpuCapture(graphed)
    graphed_step = GraphedStep(graphed, mels, NonfiniteGuard(CPU), pytest.fail, capture)
    returned = []
    for step in range(12):
        set_learning_rates(plain, step)
        set_learning_rates(graphed, step)
        expected = train_step(plain, noise(step), mels, guard)
        losses = graphed_step(noise(step))
        returned.append((losses, torch.stack(losses)))
        torch.testing.assert_close(torch.stack(losses), torch.stack(expected), rtol=1e-4, atol=1e-6)
        assert graphed.step == plain.step == step + 1
    for losses, values in returned:  # later steps do not overwrite earlier results
        assert torch.equal(torch.stack(losses), values)
    phases = 2 if "adversarial_start" in train else 1
    assert capture.captures == phases
    assert capture.replays == 12 - phases * WARM_UP_STEPS
    torch.testing.assert_close(weights(graphed), weights(plain), rtol=1e-4, atol=1e-6)


def test_failed_capture_continues_without_graphs() -> None:
    """Check that there is one warning with the reason, and no step is lost or counted twice."""
    plain, graphed = (VocoderState(small.config(), CPU) for _ in range(2))
    mels, warnings = mel_transforms(plain.config, CPU), list[str]()
    capture = CpuCapture(graphed, "CUDA out of memory\nand so on")
    graphed_step = GraphedStep(graphed, mels, NonfiniteGuard(CPU), warnings.append, capture)
    for step in range(WARM_UP_STEPS + 3):
        expected = train_step(plain, noise(step), mels, NonfiniteGuard(CPU))
        losses = graphed_step(noise(step))
        torch.testing.assert_close(torch.stack(losses), torch.stack(expected), rtol=1e-4, atol=1e-6)
        assert graphed.step == step + 1
    assert len(warnings) == 1
    assert "CUDA out of memory" in warnings[0]
    assert "\n" not in warnings[0]


def test_restored_moments_keep_their_addresses() -> None:
    """Check that a restore works in place, because a graph uses the addresses of its capture."""
    state = VocoderState(small.config(), CPU)
    mels, names = mel_transforms(state.config, CPU), named_parameters({"": state.generator})
    train_step(state, noise(0), mels, NonfiniteGuard(CPU))
    saved = copy.deepcopy(optimizer_tensors(state.optimizer_g, names, "g."))
    addresses = {
        n: t.data_ptr() for n, t in optimizer_tensors(state.optimizer_g, names, "g.").items()
    }
    train_step(state, noise(1), mels, NonfiniteGuard(CPU))
    load_optimizer(state.optimizer_g, names, "g.", saved)
    for name, value in optimizer_tensors(state.optimizer_g, names, "g.").items():
        assert torch.equal(value, saved[name])
        assert value.data_ptr() == addresses[name]
    load_optimizer(state.optimizer_g, names, "g.", {})  # a checkpoint from before the first step
    for name, value in optimizer_tensors(state.optimizer_g, names, "g.").items():
        assert not value.any()
        assert value.data_ptr() == addresses[name]


def test_can_capture_needs_a_gpu_and_no_determinism() -> None:
    state = VocoderState(small.config(), CPU)
    assert not can_capture(state)
    state.device = torch.device("cuda", 0)
    assert can_capture(state)
    for train in ({"cuda_graphs": False}, {"deterministic": True}):
        state.config = small.config(**train)
        assert not can_capture(state)
