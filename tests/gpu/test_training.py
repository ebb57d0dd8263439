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
from hifigan_cli.training.events import Logged
from hifigan_cli.training.nonfinite_guard import NonfiniteGuard
from hifigan_cli.training.state import VocoderState
from hifigan_cli.training.step import (
    discriminator_backward,
    generate,
    generator_backward,
    mel_transforms,
    to_micro_batches,
    train_step,
)
from hifigan_cli.training.vocoder import configure_determinism
from hifigan_cli.types import Notice
from tests.gpu.conftest import Record, run_with_limited_memory
from tests.gpu.test_networks import relative_difference
from tests.training import small
from tests.training.runs import checkpoint, differing_tensors, train_run

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _restore_algorithms() -> None:
    """Reset cuDNN's choice of algorithms for each test."""
    configure_determinism(deterministic=False)


def preset(name: str, **train: object) -> Config:
    """Return a preset's configuration with small batches of the paper's segments."""
    recipe = TrainConfig.model_validate({"batch_size": 2, **train})
    return Config(generator=PRESETS[name].generator, train=recipe)


def gradients(state: VocoderState) -> tuple[Tensor, list[Tensor]]:
    """Return the losses of one batch, and the gradients of generator and discriminators."""
    mels = mel_transforms(state.config, state.device)
    batches = to_micro_batches(state, synthetic_batch(state.config), mels)
    y_hat = generate(state, batches[0])
    loss_d = discriminator_backward(state, batches, y_hat)
    networks = (state.mpd, state.msd)
    grads = [p.grad.cpu() for net in networks for p in net.parameters() if p.grad is not None]
    losses = torch.cat([loss_d[None], generator_backward(state, batches, y_hat, mels)])
    grads += [p.grad.cpu() for p in state.generator.parameters() if p.grad is not None]
    return losses.cpu(), grads


@pytest.mark.usefixtures("strict_fp32")
@pytest.mark.parametrize("name", ["v2", "v3"])
def test_losses_and_gradients_of_a_step(device: torch.device, record: Record, name: str) -> None:
    """In float32 they equal the CPU's: losses within 1e-4, gradients within 1e-3."""
    config = preset(name, discriminator_width=0.25, segment_size=4096)
    on_cpu, on_device = VocoderState(config, CPU), VocoderState(config, device)
    for expected, actual in zip(
        on_cpu.generator.parameters(), on_device.generator.parameters(), strict=True
    ):
        assert torch.equal(expected.cpu(), actual.cpu())  # a seed gives the same weights everywhere
    expected_losses, expected_grads = gradients(on_cpu)
    losses, grads = gradients(on_device)
    loss_error = float(((losses - expected_losses) / expected_losses).abs().max())
    grad_error = relative_difference(
        torch.cat([grad.flatten() for grad in grads]),
        torch.cat([grad.flatten() for grad in expected_grads]),
    )
    record("losses", loss_error)
    record("gradients", grad_error)
    assert loss_error < 1e-4
    assert grad_error < 1e-3


@pytest.mark.usefixtures("strict_fp32")
def test_fast_step_and_reference_step_have_equal_gradients(
    device: torch.device, record: Record
) -> None:
    """Both run on the device; on CUDA with V1 and the paper's discriminators."""
    config = preset("v1") if device.type == "cuda" else preset("v2", discriminator_width=0.25)
    state = VocoderState(config, device)
    error = gradient_difference(state, synthetic_batch(config), mel_transforms(config, device))
    record("largest_difference", error)
    assert error < 1e-3


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("seed", [0, 1])
def test_captured_steps_match_eager_steps(
    device: torch.device, record: Record, precision: str, seed: int
) -> None:
    """Training with a CUDA graph gives the same losses as eager training."""
    if device.type != "cuda":
        pytest.skip("captures CUDA graphs")
    config = preset(
        "v2", precision=precision, seed=seed, discriminator_width=0.25, segment_size=4096,
        adversarial_start=6, ema_decay=0.9,
    )  # fmt: skip
    eager, graphed = (VocoderState(config, device) for _ in range(2))
    mels = mel_transforms(config, device)
    graphed_step = GraphedStep(graphed, mels, NonfiniteGuard(device), pytest.fail)
    guard, max_error = NonfiniteGuard(device), 0.0
    for number in range(14):
        batch = synthetic_batch(config)._replace()
        batch = batch._replace(samples=batch.samples.roll(number * 997, 1))
        expected = torch.stack(train_step(eager, batch, mels, guard)).cpu()
        losses = torch.stack(graphed_step(batch)).cpu()
        errors = ((losses - expected) / expected.clamp(min=1e-3)).abs()
        max_error = max(max_error, float(errors[:5].max()))
    record("largest_relative_difference_of_losses", max_error)
    assert graphed_step.captured
    assert graphed.step == eager.step == 14
    # The order of sums differs through 14 updates; a stale buffer would change the complete loss.
    assert max_error < (0.02 if precision == "fp32" else 0.1)


@pytest.mark.usefixtures("small_discriminators")
@pytest.mark.filterwarnings("ignore")  # about operations without a deterministic implementation
def test_resume_is_bit_identical_when_deterministic(
    device: torch.device, prepared: Path, tmp_path: Path
) -> None:
    """A run that stops after three of six steps and resumes equals an uninterrupted run."""
    recipe: dict[str, Any] = {"device": device, "deterministic": True, "ema_decay": 0.9}
    train_run(prepared, tmp_path / "uninterrupted", **recipe)
    train_run(prepared, tmp_path / "resumed", steps=3, **recipe)
    train_run(prepared, tmp_path / "resumed", **recipe)
    expected, resumed = (checkpoint(tmp_path / n, 6) for n in ("uninterrupted", "resumed"))
    assert differing_tensors(expected, resumed) == []


@pytest.mark.usefixtures("small_discriminators")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_lowers_the_mel_loss(
    device: torch.device, prepared: Path, tmp_path: Path, precision: str
) -> None:
    """The step is captured, the data is on the device, and there is no warning."""
    recipe: dict[str, Any] = {"steps": 40, "log_every": 10, "precision": precision,
              "learning_rate": 2e-3}  # fmt: skip
    events = train_run(prepared, tmp_path / "run", device=device, **recipe)
    warnings = [event for event in events if isinstance(event, Notice) and event.warning]
    assert warnings == []
    mel = [event.losses["mel"] for event in events if isinstance(event, Logged)]
    assert mel[-1] < mel[0]
    train_run(prepared, tmp_path / "run", device=device, **{**recipe, "steps": 50})  # resumes


def test_gpu_dataset_gives_the_same_batches(device: torch.device, prepared: Path) -> None:
    """Segments from the GPU dataset are bit-identical to those from the CPU."""
    data, config = open_prepared(prepared), small.config()
    cpu_batches = StepBatches(data, config)
    gpu_batches = GpuBatches(data, config, device=device)
    for step in range(6):
        assert torch.equal(gpu_batches[step].samples.cpu(), cpu_batches[step].samples)


def test_out_of_memory_in_training_is_exit_code_8(
    device: torch.device, prepared: Path, tmp_path: Path
) -> None:
    """The error names the setting to reduce."""
    out = str(tmp_path / "run")
    arguments = ["train", str(prepared), "--preset", "v1", "--out", out, "--steps", "2"]
    run = run_with_limited_memory(device, 600e6, *arguments, "--device", str(device), "--quiet")
    assert run.returncode == 8, run.stderr
    assert "out of memory" in run.stderr
    assert "batch_size" in run.stderr
