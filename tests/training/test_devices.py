"""A step on a GPU that is not there: where its tensors lie, in which precision, and who waits.

torch's fake tensors have a device, a shape and a type, and no numbers. An operation on tensors of
two devices fails as it would on the machine; so does whoever asks for a number, which on a GPU
would wait for all earlier work. Only the backward passes are left out, which need the driver.
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
from hifigan_cli.training.validation import Utterance, generate_clip
from tests.enhancement.small import recipe
from tests.training import small

GPU = torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def _fake_gpu(small_discriminators: None) -> Iterator[None]:
    """Let tensors say that they lie on a GPU, and torch that it may compute in bfloat16 there."""
    mel.constants.cache_clear()
    with (
        mock.patch.object(
            torch.cuda.amp.common, "amp_definitely_not_available", return_value=False
        ),
        mock.patch.object(torch.cuda, "is_bf16_supported", return_value=True),
        mock.patch.object(Tensor, "pin_memory", lambda values: values),
        mock.patch.object(convolutions, "fastest_form", return_value=convolutions.PLAIN),
        FakeTensorMode(allow_non_fake_inputs=False),
    ):
        yield
    mel.constants.cache_clear()  # of fakes


@contextmanager
def made_there() -> Iterator[None]:
    """Make networks on the GPU: fake ones cannot be moved, nor copied."""
    with (
        GPU,
        mock.patch.object(nn.Module, "to", lambda network, *_: network),
        mock.patch.object(copy, "deepcopy", lambda network: type(network)(network.config, 80)),
    ):
        yield


@contextmanager
def without_backward(*networks: nn.Module) -> Iterator[list[Tensor]]:
    """Give each parameter a gradient where a loss is followed back; yield those losses."""
    followed: list[Tensor] = []

    def backward(loss: Tensor, *_: Any, **__: Any) -> None:
        followed.append(loss)
        for parameter in (p for network in networks for p in network.parameters()):
            parameter.grad = torch.zeros_like(parameter)

    with (
        mock.patch.object(torch.autograd, "backward", backward),
        mock.patch.object(Tensor, "backward", backward),
    ):
        yield followed


def steps(given: bool = False, **train: Any) -> tuple[VocoderState, list[Losses]]:
    """Make two steps; their batches come from the processor."""
    with made_there():
        state = VocoderState(small.config(**train), GPU)
    mels, guard, meter = mel_transforms(state.config, GPU), NonfiniteGuard(GPU), Meter()
    found = []
    with without_backward(state.generator, state.mpd, state.msd) as followed:
        for _ in range(2):
            batch = Batch(torch.randn(4, 1024), torch.randn(4, 80, 4) if given else None)
            found.append(train_step(state, batch, mels, guard))
            meter.add(found[-1]._asdict())
    assert {(loss.device, loss.dtype) for loss in followed} == {(GPU, torch.float32)}
    return state, found


@pytest.mark.parametrize(
    "train",
    [
        {},
        {"precision": "bf16"},
        {"precision": "bf16", "accumulate": 2, "stft_weight": 1.0, "ema_decay": 0.9},
        {"precision": "bf16", "adversarial_start": 1},
        {"given": True},
    ],
)
def test_a_step_stays_on_its_device_and_waits_for_nothing(train: dict[str, Any]) -> None:
    """Protects training on GPUs: no stray tensor of the processor, no number asked for, and the
    losses in single precision."""
    _, found = steps(**train)
    for of_step in found:
        assert {(value.device, value.dtype) for value in of_step} == {(GPU, torch.float32)}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_samples_are_single_precision(precision: str) -> None:
    """Protects the mel loss from samples that were rounded to bfloat16."""
    state, _ = steps(precision=precision)
    with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16"):
        assert torch.is_autocast_enabled("cuda") == (precision == "bf16")
        samples = state.optimized_generator(torch.randn(1, 80, 4, device=GPU))
    assert samples.dtype == torch.float32


def test_an_enhancers_step_does_as_well() -> None:
    """Protects the same of the other training, in both phases."""
    with made_there():
        state = EnhancerState(recipe(), MelConfig(), GPU)
    guard = NonfiniteGuard(GPU)
    noisy, clean = torch.randn(2, 2, 80, 16, device=GPU).unbind()
    with without_backward(state.enhancer, state.discriminator):
        for step in (0, state.first_adversarial_step, state.config.training.steps - 1):
            state.step = step
            for value in enhancer_step(state, noisy, clean, guard).values():
                assert (value.device, value.dtype) == (GPU, torch.float32)


def test_validation_brings_its_results_back() -> None:
    """Protects what is written and shown, which the processor does."""
    state, _ = steps()
    clip = Utterance("clip", torch.randn(3000), None)
    with torch.no_grad():
        found = generate_clip(state, clip, mel_transforms(state.config, GPU))
    parts = (found.recording, found.generated, found.recording_mel, found.generated_mel)
    assert {part.device.type for part in parts} == {"cpu"}


def test_a_gpu_that_emulates_bfloat16_is_told_from_others() -> None:
    """Protects those with older GPUs, on which --bf16 is the slower choice."""
    with mock.patch.object(torch.cuda, "device"):
        assert not emulates_bfloat16(GPU)
        with mock.patch.object(torch.cuda, "is_bf16_supported", return_value=False):
            assert emulates_bfloat16(GPU)
            assert not emulates_bfloat16(torch.device("cpu"))


def test_faults_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the tests above: a stray tensor, and a question for a number, fail."""
    whole = losses.mel_loss
    monkeypatch.setattr(step, "mel_loss", lambda *mels: whole(*mels) + torch.ones(3))
    with pytest.raises(RuntimeError, match="device"):
        steps()
    monkeypatch.setattr(step, "mel_loss", lambda *mels: whole(*mels) * whole(*mels).item())
    with pytest.raises(DataDependentOutputException):
        steps()
