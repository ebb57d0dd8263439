"""Mel, generator, discriminators and losses on the device, compared with the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from hifigan_cli.audio import MelSpectrogram
from hifigan_cli.benchmarks.variants import random_model
from hifigan_cli.config import PRESETS, MelConfig
from hifigan_cli.models import MultiPeriodDiscriminator, MultiScaleDiscriminator
from hifigan_cli.models.losses import (
    adversarial_loss,
    discriminator_loss,
    feature_loss,
    mel_loss,
    stft_loss,
)
from tests.gpu.conftest import Record
from tests.helpers import speech

SEEDS = (0, 1)
PRESET_NAMES = ("v1", "v2", "v3")


def relative_difference(actual: Tensor, expected: Tensor) -> float:
    """Return |actual - expected| / |expected|."""
    actual, expected = actual.detach().cpu().double(), expected.detach().cpu().double()
    return float(torch.linalg.norm(actual - expected) / torch.linalg.norm(expected))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fmax", [8000.0, None])
def test_mel(device: torch.device, record: Record, seed: int, fmax: float | None) -> None:
    """Every value of the log-mel equals the CPU's within 1e-4."""
    mel = MelSpectrogram(MelConfig(fmax=fmax))
    samples = torch.from_numpy(np.stack([speech(1.0, seed=seed), speech(1.0, seed=seed + 7)]))
    expected = mel(samples)
    error = float((mel.to(device)(samples.to(device)).cpu() - expected).abs().max())
    record("largest_difference", error)
    assert error < 1e-4


@pytest.mark.parametrize("preset", PRESET_NAMES)
def test_generator(device: torch.device, record: Record, preset: str) -> None:
    """In float32 the samples equal the CPU's within 1e-4; other formats are only recorded."""
    model = random_model(PRESETS[preset])
    mel = torch.from_numpy(np.random.default_rng(3).normal(-5, 2, (2, 80, 40)).astype(np.float32))
    with torch.no_grad():
        expected = model.build("cpu")(mel)
        net, on_device = model.build(device), mel.to(device)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            strict = relative_difference(net(on_device), expected)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=True):
            record("tf32", relative_difference(net(on_device), expected))
        for dtype in (torch.bfloat16, torch.float16):
            error = relative_difference(net.to(dtype)(on_device.to(dtype)).float(), expected)
            record(str(dtype).removeprefix("torch."), error)
    record("fp32", strict)
    assert strict < 1e-4


@pytest.mark.usefixtures("strict_fp32")
@pytest.mark.parametrize("seed", SEEDS)
def test_discriminators_and_losses(device: torch.device, record: Record, seed: int) -> None:
    """Every loss, of scores and of feature maps, equals the CPU's within 1e-4."""
    torch.manual_seed(seed)
    networks = MultiPeriodDiscriminator(0.25).eval(), MultiScaleDiscriminator(0.25).eval()
    target, generated = 0.3 * torch.randn(2, 2, 1, 8192).cumsum(-1).tanh()
    mel = MelSpectrogram(MelConfig(fmax=None))

    def losses(on: torch.device) -> Tensor:
        y, y_hat = target.to(on), generated.to(on)
        real_outputs = [out for net in networks for out in net.to(on)(y)]
        fake_outputs = [out for net in networks for out in net.to(on)(y_hat)]
        values = [
            discriminator_loss(real_outputs, fake_outputs),
            adversarial_loss(fake_outputs),
            feature_loss(real_outputs, fake_outputs),
            mel_loss(mel.to(on)(y[:, 0]), mel.to(on)(y_hat[:, 0])),
            stft_loss(y[:, 0], y_hat[:, 0]),
        ]
        return torch.stack(values).detach().cpu()

    with torch.no_grad():
        expected, actual = losses(torch.device("cpu")), losses(device)
    error = float(((actual - expected) / expected).abs().max())
    record("largest_relative_difference", error)
    assert error < 1e-4
