"""Training steps on a simulated GPU: devices, precision and synchronization.

torch's fake tensors have a device, a shape and a dtype, but no values. Operations on tensors of two
devices fail as on a real GPU. Reading a value also fails, because on a GPU it would synchronize.
Only the backward passes are skipped, because they need the driver.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from hifigan_cli.audio import mel
from hifigan_cli.config import MelConfig
from hifigan_cli.data.batches import Batch
from hifigan_cli.enhancement.training.state import EnhancerState
from hifigan_cli.enhancement.training.step import enhancer_step
from hifigan_cli.models import losses
from hifigan_cli.models.optimized import convolutions
from hifigan_cli.runtime.devices import emulates_bfloat16
from hifigan_cli.training import step
from hifigan_cli.training.meter import Meter
from hifigan_cli.training.nonfinite_guard import NonfiniteGuard
from hifigan_cli.training.state import VocoderState
from hifigan_cli.training.step import Losses, mel_transforms, train_step
from hifigan_cli.training.validation import ValidationItem, generate_clip
from tests.enhancement.helpers import recipe
from tests.training import small

GPU = torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def _fake_gpu(small_discriminators: None) -> Iterator[None]:
    """Use fake CUDA tensors, with bfloat16 support."""
    mel.window_and_filterbank.cache_clear()
    with (
        mock.patch.object(
            torch.cuda.amp.common, "amp_definitely_not_available", return_value=False
        ),
        mock.patch.object(torch.cuda, "is_bf16_supported", return_value=True),
        mock.patch.object(Tensor, "pin_memory", lambda values: values),
        mock.patch.object(convolutions, "fastest_algorithm", return_value=convolutions.PLAIN),
        FakeTensorMode(allow_non_fake_inputs=False),
    ):
        yield
    mel.window_and_filterbank.cache_clear()  # remove fake tensors


@contextmanager
def built_on_gpu() -> Iterator[None]:
    """Build networks on the fake GPU, because fake tensors cannot be moved or copied."""
    with (
        GPU,
        mock.patch.object(nn.Module, "to", lambda network, *_: network),
        mock.patch.object(copy, "deepcopy", lambda network: type(network)(network.config, 80)),
    ):
        yield


@contextmanager
def without_backward(*networks: nn.Module) -> Iterator[list[Tensor]]:
    """Replace each backward pass by zero gradients; yield the losses that it was called on."""
    losses: list[Tensor] = []

    def backward(loss: Tensor, *_: Any, **__: Any) -> None:
        losses.append(loss)
        for parameter in (p for network in networks for p in network.parameters()):
            parameter.grad = torch.zeros_like(parameter)

    with (
        mock.patch.object(torch.autograd, "backward", backward),
        mock.patch.object(Tensor, "backward", backward),
    ):
        yield losses


def run_steps(with_mels: bool = False, **train: Any) -> tuple[VocoderState, list[Losses]]:
    """Run two steps with batches from the CPU."""
    with built_on_gpu():
        state = VocoderState(small.config(**train), GPU)
    mels, guard, meter = mel_transforms(state.config, GPU), NonfiniteGuard(GPU), Meter()
    results = []
    with without_backward(state.generator, state.mpd, state.msd) as backward_losses:
        for _ in range(2):
            batch = Batch(torch.randn(4, 1024), torch.randn(4, 80, 4) if with_mels else None)
            results.append(train_step(state, batch, mels, guard))
            meter.add(results[-1]._asdict())
    assert {(loss.device, loss.dtype) for loss in backward_losses} == {(GPU, torch.float32)}
    return state, results


@pytest.mark.parametrize(
    "train",
    [
        {},
        {"precision": "bf16"},
        {"precision": "bf16", "micro_batches": 2, "stft_weight": 1.0, "ema_decay": 0.9},
        {"precision": "bf16", "adversarial_start": 1},
        {"with_mels": True},
    ],
)
def test_vocoder_step_stays_on_the_gpu(train: dict[str, Any]) -> None:
    """Check that a step mixes no devices and never synchronizes, and that losses are fp32."""
    _, results = run_steps(**train)
    for values in results:
        assert {(value.device, value.dtype) for value in values} == {(GPU, torch.float32)}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_samples_are_single_precision(precision: str) -> None:
    """Check that the samples for the mel loss are not rounded to bfloat16."""
    state, _ = run_steps(precision=precision)
    with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16"):
        assert torch.is_autocast_enabled("cuda") == (precision == "bf16")
        samples = state.optimized_generator(torch.randn(1, 80, 4, device=GPU))
    assert samples.dtype == torch.float32


def test_enhancer_step_stays_on_the_gpu() -> None:
    """Check the same for the enhancer, in both phases of its training."""
    with built_on_gpu():
        state = EnhancerState(recipe(), MelConfig(), GPU)
    guard = NonfiniteGuard(GPU)
    noisy, clean = torch.randn(2, 2, 80, 16, device=GPU).unbind()
    with without_backward(state.enhancer, state.discriminator):
        for step in (0, state.adversarial_start, state.config.training.steps - 1):
            state.step = step
            for value in enhancer_step(state, noisy, clean, guard).values():
                assert (value.device, value.dtype) == (GPU, torch.float32)


def test_validation_clips_are_on_the_cpu() -> None:
    """Check that the clips to write and log are on the CPU."""
    state, _ = run_steps()
    clip = ValidationItem("clip", torch.randn(3000), None)
    with torch.no_grad():
        result = generate_clip(state, clip, mel_transforms(state.config, GPU))
    parts = (result.recording, result.generated, result.recording_mel, result.generated_mel)
    assert {part.device.type for part in parts} == {"cpu"}


def test_emulated_bfloat16_is_detected() -> None:
    """Check older GPUs, on which --bf16 is slower."""
    with mock.patch.object(torch.cuda, "device"):
        assert not emulates_bfloat16(GPU)
        with mock.patch.object(torch.cuda, "is_bf16_supported", return_value=False):
            assert emulates_bfloat16(GPU)
            assert not emulates_bfloat16(torch.device("cpu"))


def test_cpu_tensors_and_synchronization_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the tests above: a CPU tensor in a loss, and reading its value, both fail."""
    mel_loss = losses.mel_loss
    monkeypatch.setattr(step, "mel_loss", lambda *mels: mel_loss(*mels) + torch.ones(3))
    with pytest.raises(RuntimeError, match="device"):
        run_steps()
    monkeypatch.setattr(step, "mel_loss", lambda *mels: mel_loss(*mels) * mel_loss(*mels).item())
    with pytest.raises(DataDependentOutputException):
        run_steps()
