"""Captured steps: the same training as without, whatever is captured, whenever it fails.

CUDA graphs need a GPU (tests/gpu). What decides, copies and counts around them runs here with a
capture on the CPU that does what a graph does: compute again, into the same memory, from its input.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch

from hifigan_cli.training.cuda_graphs import WARM_UP_STEPS, Capture, GraphedStep, usable
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
    """Runs a step again for each replay; what it was captured with is not executed."""

    def __init__(self, state: VocoderState, failure: str = "") -> None:
        self.state, self.failure = state, failure
        self.captures = self.replays = 0

    def warm_up(self, run: Callable[[], Losses]) -> Losses:
        return run()

    def __call__(self, run: Callable[[], Losses]) -> tuple[Losses, Callable[[], None]]:
        if self.failure:
            self.state.step += 1  # as far as the Python of a step had come
            raise RuntimeError(self.failure)
        self.captures += 1
        adversarial_start = self.state.config.train.adversarial_start
        adversarial = self.state.step >= adversarial_start
        self.state.step += 1
        place = Losses(*torch.zeros(len(Losses._fields)).unbind())

        def replay() -> None:
            self.replays += 1
            assert (self.state.step >= adversarial_start) == adversarial
            for into, value in zip(place, run(), strict=True):
                into.copy_(value)

        return place, replay


def rates(state: VocoderState, step: int) -> None:
    for optimizer in (state.optimizer_g, state.optimizer_d):
        set_learning_rate(optimizer, 2e-4 * 0.5**step)


def weights(state: VocoderState) -> dict[str, torch.Tensor]:
    networks = (state.generator, state.mpd, state.msd)
    return {f"{n}.{k}": v for n, net in enumerate(networks) for k, v in net.state_dict().items()}


@pytest.mark.parametrize(
    "train", [{}, {"adversarial_start": 5, "ema_decay": 0.9}, {"accumulate": 2}]
)
def test_captured_training_is_the_same(train: dict[str, int]) -> None:
    """Same losses, weights and step counter, with a learning rate that changes at each step."""
    plain, graphed = (VocoderState(small.config(**train), CPU) for _ in range(2))
    mels, guard = mel_transforms(plain.config, CPU), NonfiniteGuard(CPU)
    capture = CpuCapture(graphed)
    step_of = GraphedStep(graphed, mels, NonfiniteGuard(CPU), pytest.fail, capture)
    kept = []
    for step in range(12):
        rates(plain, step)
        rates(graphed, step)
        expected = train_step(plain, noise(step), mels, guard)
        found = step_of(noise(step))
        kept.append((found, torch.stack(found)))
        torch.testing.assert_close(torch.stack(found), torch.stack(expected), rtol=1e-4, atol=1e-6)
        assert graphed.step == plain.step == step + 1
    for found, values in kept:  # what was returned earlier is not overwritten by later steps
        assert torch.equal(torch.stack(found), values)
    phases = 2 if "adversarial_start" in train else 1
    assert capture.captures == phases
    assert capture.replays == 12 - phases * WARM_UP_STEPS
    torch.testing.assert_close(weights(graphed), weights(plain), rtol=1e-4, atol=1e-6)


def test_where_a_capture_fails_training_goes_on() -> None:
    """One warning with the reason; no step is lost or counted twice."""
    plain, graphed = (VocoderState(small.config(), CPU) for _ in range(2))
    mels, warnings = mel_transforms(plain.config, CPU), list[str]()
    capture = CpuCapture(graphed, "CUDA out of memory\nand so on")
    step_of = GraphedStep(graphed, mels, NonfiniteGuard(CPU), warnings.append, capture)
    for step in range(WARM_UP_STEPS + 3):
        expected = train_step(plain, noise(step), mels, NonfiniteGuard(CPU))
        found = step_of(noise(step))
        torch.testing.assert_close(torch.stack(found), torch.stack(expected), rtol=1e-4, atol=1e-6)
        assert graphed.step == step + 1
    assert len(warnings) == 1
    assert "CUDA out of memory" in warnings[0]
    assert "\n" not in warnings[0]


def test_going_back_to_a_checkpoint_keeps_the_optimizers_memory_in_place() -> None:
    """A graph reads and writes the moments where they were when it was captured."""
    state = VocoderState(small.config(), CPU)
    mels, names = mel_transforms(state.config, CPU), named_parameters({"": state.generator})
    train_step(state, noise(0), mels, NonfiniteGuard(CPU))
    saved = copy.deepcopy(optimizer_tensors(state.optimizer_g, names, "g."))
    places = {n: t.data_ptr() for n, t in optimizer_tensors(state.optimizer_g, names, "g.").items()}
    train_step(state, noise(1), mels, NonfiniteGuard(CPU))
    load_optimizer(state.optimizer_g, names, "g.", saved)
    for name, value in optimizer_tensors(state.optimizer_g, names, "g.").items():
        assert torch.equal(value, saved[name])
        assert value.data_ptr() == places[name]
    load_optimizer(state.optimizer_g, names, "g.", {})  # of before its first step
    for name, value in optimizer_tensors(state.optimizer_g, names, "g.").items():
        assert not value.any()
        assert value.data_ptr() == places[name]


def test_only_a_single_gpu_without_determinism_is_captured() -> None:
    state = VocoderState(small.config(), CPU)
    assert not usable(state)
    state.device = torch.device("cuda", 0)
    assert usable(state)
    for train in ({"cuda_graphs": False}, {"deterministic": True}):
        state.config = small.config(**train)
        assert not usable(state)
