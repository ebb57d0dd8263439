"""Training on the device: one step, captured steps, exact resume, data on the device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hifigan_cli.benchmarks.training import gradient_difference, synthetic_batch
from hifigan_cli.config import PRESETS, Config, TrainConfig
from hifigan_cli.data.batches import StepBatches
from hifigan_cli.data.gpu_dataset import GpuBatches
from hifigan_cli.data.prepared import open_prepared
from hifigan_cli.training.cuda_graphs import GraphedStep
from hifigan_cli.training.events import Logged, Noted
from hifigan_cli.training.nonfinite_guard import NonfiniteGuard
from hifigan_cli.training.state import VocoderState
from hifigan_cli.training.step import (
    discriminators_turn,
    generate,
    generators_turn,
    mel_transforms,
    to_micro_batches,
    train_step,
)
from hifigan_cli.training.vocoder import choose_algorithms
from tests.gpu.conftest import Record, with_limited_memory
from tests.gpu.test_networks import difference
from tests.training import small
from tests.training.runs import checkpoint, differing, go

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _restore_algorithms() -> None:
    """Leave cuDNN's choice of algorithms as each test finds it."""
    choose_algorithms(deterministic=False)


def preset(name: str, **train: object) -> Config:
    """Return a preset's configuration with small batches of the paper's segments."""
    recipe = TrainConfig.model_validate({"batch_size": 2, **train})
    return Config(generator=PRESETS[name].generator, train=recipe)


def gradients(state: VocoderState) -> tuple[Tensor, list[Tensor]]:
    """Return the losses of one batch, and the gradients of generator and discriminators."""
    mels = mel_transforms(state.config, state.device)
    pieces = to_micro_batches(state, synthetic_batch(state.config), mels)
    kept = generate(state, pieces[0])
    loss_d = discriminators_turn(state, pieces, kept)
    networks = (state.mpd, state.msd)
    found = [p.grad.cpu() for net in networks for p in net.parameters() if p.grad is not None]
    losses = torch.cat([loss_d[None], generators_turn(state, pieces, kept, mels)])
    found += [p.grad.cpu() for p in state.generator.parameters() if p.grad is not None]
    return losses.cpu(), found


@pytest.mark.usefixtures("strict_fp32")
@pytest.mark.parametrize("name", ["v2", "v3"])
def test_losses_and_gradients_of_a_step(device: torch.device, record: Record, name: str) -> None:
    """In float32 they are those of the CPU: losses within 1e-4, gradients within 1e-3."""
    config = preset(name, discriminator_width=0.25, segment_size=4096)
    states = [VocoderState(config, place) for place in (CPU, device)]
    for theirs, ours in zip(
        states[0].generator.parameters(), states[1].generator.parameters(), strict=True
    ):
        assert torch.equal(theirs.cpu(), ours.cpu())  # a seed gives the same weights everywhere
    (expected, theirs_), (found, ours_) = (gradients(state) for state in states)
    error = float(((found - expected) / expected).abs().max())
    of_gradients = difference(*(torch.cat([g.flatten() for g in one]) for one in (ours_, theirs_)))
    record("losses", error)
    record("gradients", of_gradients)
    assert error < 1e-4
    assert of_gradients < 1e-3


@pytest.mark.usefixtures("strict_fp32")
def test_the_fast_step_has_the_gradients_of_the_reference(
    device: torch.device, record: Record
) -> None:
    """Both on the device, V1 with the paper's discriminators."""
    config = preset("v1") if device.type == "cuda" else preset("v2", discriminator_width=0.25)
    state = VocoderState(config, device)
    error = gradient_difference(state, synthetic_batch(config), mel_transforms(config, device))
    record("largest_difference", error)
    assert error < 1e-3


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("seed", [0, 1])
def test_captured_steps_are_the_steps(
    device: torch.device, record: Record, precision: str, seed: int
) -> None:
    """Losses of captured training stay with those of the same training run plainly."""
    if device.type != "cuda":
        pytest.skip("captures CUDA graphs")
    config = preset(
        "v2", precision=precision, seed=seed, discriminator_width=0.25, segment_size=4096,
        adversarial_start=6, ema_decay=0.9,
    )  # fmt: skip
    plain, graphed = (VocoderState(config, device) for _ in range(2))
    mels = mel_transforms(config, device)
    step_of = GraphedStep(graphed, mels, NonfiniteGuard(device), pytest.fail)
    guard, worst = NonfiniteGuard(device), 0.0
    for number in range(14):
        batch = synthetic_batch(config)._replace()
        batch = batch._replace(samples=batch.samples.roll(number * 997, 1))
        expected = torch.stack(train_step(plain, batch, mels, guard)).cpu()
        found = torch.stack(step_of(batch)).cpu()
        errors = ((found - expected) / expected.clamp(min=1e-3)).abs()
        worst = max(worst, float(errors[:5].max()))
    record("largest_relative_difference_of_losses", worst)
    assert step_of.captured
    assert graphed.step == plain.step == 14
    # Sums in another order, through 14 updates; a stale buffer would be off by all of a loss.
    assert worst < (0.02 if precision == "fp32" else 0.1)


@pytest.mark.usefixtures("small_discriminators")
@pytest.mark.filterwarnings("ignore")  # of operations that have no deterministic form
def test_resume_is_bit_identical_when_deterministic(
    device: torch.device, prepared: Path, tmp_path: Path
) -> None:
    """Stopped after three of six steps and resumed, against never stopped."""
    recipe: dict[str, Any] = {"device": device, "deterministic": True, "ema_decay": 0.9}
    go(prepared, tmp_path / "unbroken", **recipe)
    go(prepared, tmp_path / "resumed", steps=3, **recipe)
    go(prepared, tmp_path / "resumed", **recipe)
    assert (
        differing(checkpoint(tmp_path / "unbroken", 6), checkpoint(tmp_path / "resumed", 6)) == []
    )


@pytest.mark.usefixtures("small_discriminators")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_learns(device: torch.device, prepared: Path, tmp_path: Path, precision: str) -> None:
    """Captured, with the data on the device: no warning, finite losses, a falling mel loss."""
    recipe: dict[str, Any] = {"steps": 40, "log_every": 10, "precision": precision,
              "learning_rate": 2e-3}  # fmt: skip
    events = go(prepared, tmp_path / "run", device=device, **recipe)
    warnings = [event for event in events if isinstance(event, Noted) and event.warning]
    assert warnings == []
    mel = [event.losses["mel"] for event in events if isinstance(event, Logged)]
    assert mel[-1] < mel[0]
    go(prepared, tmp_path / "run", device=device, **{**recipe, "steps": 50})  # resumes


def test_data_on_the_device_give_the_same_batches(device: torch.device, prepared: Path) -> None:
    """Segments cut on the device are those that the CPU cuts, to the bit."""
    data, config = open_prepared(prepared), small.config()
    usual = StepBatches(data, config)
    resident = GpuBatches(data, config, device=device)
    for step in range(6):
        assert torch.equal(resident[step].samples.cpu(), usual[step].samples)


def test_too_little_memory_ends_training_with_exit_code_8(
    device: torch.device, prepared: Path, tmp_path: Path
) -> None:
    """One line that says what to lower."""
    out = str(tmp_path / "run")
    words = ["train", str(prepared), "--preset", "v1", "--out", out, "--steps", "2"]
    run = with_limited_memory(device, 600e6, *words, "--device", str(device), "--quiet")
    assert run.returncode == 8, run.stderr
    assert "out of memory" in run.stderr
    assert "batch_size" in run.stderr
