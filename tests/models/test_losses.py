"""The losses equal the equations of the paper."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from hifigan_cli.models.discriminators import DiscriminatorOutput, MultiPeriodDiscriminator
from hifigan_cli.models.losses import (
    adversarial_loss,
    discriminator_loss,
    feature_loss,
    mel_loss,
    stft_loss,
)

SIZES = [(2, 7), (3, 4), (1, 9)]


def outputs(seed: int) -> list[DiscriminatorOutput]:
    """Return random outputs of different sizes, so that a mean over all is not a sum of means."""
    generator = torch.Generator().manual_seed(seed)
    result = []
    for batch, positions in SIZES:
        scores = torch.randn(batch, positions, generator=generator)
        inner = torch.randn(batch, 5, positions + 1, generator=generator)
        result.append(DiscriminatorOutput(scores, [inner, scores]))
    return result


@pytest.mark.parametrize("seed", [0, 10])
def test_discriminator_loss_is_equation_1(seed: int) -> None:
    """The loss is a sum over sub-discriminators, with the targets 1 for `y` and 0 for `y_hat`."""
    real, fake = outputs(seed), outputs(seed + 1)
    expected = sum(
        float(((r.scores - 1) ** 2).mean() + (f.scores**2).mean())
        for r, f in zip(real, fake, strict=True)
    )
    assert float(discriminator_loss(real, fake)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("seed", [0, 10])
def test_adversarial_loss_is_equation_2(seed: int) -> None:
    """The loss is a sum over sub-discriminators, with the target 1 for `y_hat`."""
    fake = outputs(seed)
    expected = sum(float(((f.scores - 1) ** 2).mean()) for f in fake)
    assert float(adversarial_loss(fake)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("seed", [0, 10])
def test_feature_loss_is_equation_4(seed: int) -> None:
    """The loss is a sum of means over all feature maps, including the scores."""
    real, fake = outputs(seed), outputs(seed + 1)
    expected = sum(
        float((a - b).abs().mean())
        for r, f in zip(real, fake, strict=True)
        for a, b in zip(r.feature_maps, f.feature_maps, strict=True)
    )
    assert float(feature_loss(real, fake)) == pytest.approx(expected, rel=1e-5)


def test_targets_have_zero_loss() -> None:
    """Scores at the targets have loss 0, opposite scores do not."""
    ones = [DiscriminatorOutput(torch.ones(1, 3), [torch.ones(1, 3)])]
    zeros = [DiscriminatorOutput(torch.zeros(1, 3), [torch.zeros(1, 3)])]
    assert float(discriminator_loss(ones, zeros)) == 0
    assert float(discriminator_loss(zeros, ones)) == 2
    assert float(adversarial_loss(ones)) == 0
    assert float(adversarial_loss(zeros)) == 1


def test_feature_loss_compares_y_with_y_hat() -> None:
    """Comparing `y` with itself is always 0 and has no gradient."""
    torch.manual_seed(0)
    net = MultiPeriodDiscriminator()
    y = torch.randn(1, 1, 400)
    y_hat = (y + 0.1 * torch.randn_like(y)).requires_grad_()
    with torch.no_grad():
        y_outputs = net(y)
    loss = feature_loss(y_outputs, net(y_hat))
    (gradient,) = torch.autograd.grad(loss, y_hat)
    assert float(loss.detach()) > 0
    assert gradient.abs().max() > 0
    assert float(feature_loss(y_outputs, y_outputs)) == 0


def test_different_numbers_of_outputs_are_an_error() -> None:
    """A missing sub-discriminator is not ignored."""
    with pytest.raises(ValueError, match="zip"):
        feature_loss(outputs(0), outputs(1)[:2])
    with pytest.raises(ValueError, match="zip"):
        discriminator_loss(outputs(0)[:2], outputs(1))


def test_mel_loss_is_the_mean_absolute_difference() -> None:
    """Equation 3 is a mean over batch, mel bands and frames, without the weight of 45."""
    mel, mel_hat = torch.zeros(2, 80, 5), torch.full((2, 80, 5), -0.5)
    assert float(mel_loss(mel, mel_hat)) == pytest.approx(0.5)


def test_losses_of_half_precision_are_float32() -> None:
    """In bf16 training, sums of many squares are computed in float32."""
    half = [
        DiscriminatorOutput(o.scores.bfloat16(), [m.bfloat16() for m in o.feature_maps])
        for o in outputs(0)
    ]
    assert adversarial_loss(half).dtype == torch.float32
    assert feature_loss(half, half).dtype == torch.float32
    assert discriminator_loss(half, half).dtype == torch.float32


@pytest.mark.parametrize("seed", [0, 1])
def test_stft_loss_increases_with_noise(seed: int) -> None:
    """The loss is 0 for equal waveforms, and its gradient is finite even in silence."""
    torch.manual_seed(seed)
    y = torch.randn(2, 4096)
    noise = torch.randn(2, 4096)
    errors = [float(stft_loss(y, y + level * noise)) for level in (0.0, 0.1, 0.5)]
    assert errors[0] == 0.0
    assert errors[0] < errors[1] < errors[2]
    silent = torch.zeros(2, 4096, requires_grad=True)
    torch.autograd.backward(stft_loss(y, silent))
    assert silent.grad is not None
    assert torch.isfinite(silent.grad).all()


def test_stft_loss_equals_its_definition() -> None:
    """The loss is the mean over three resolutions."""
    torch.manual_seed(3)
    y, y_hat = torch.randn(2, 1, 4096, dtype=torch.float64)
    stft = partial(torch.stft, pad_mode="constant", return_complex=True)
    expected = 0.0
    for n in (512, 1024, 2048):
        window = torch.hann_window(n, dtype=torch.float64)
        a, b = ((stft(x, n, n // 4, window=window).abs() ** 2 + 1e-7).sqrt() for x in (y, y_hat))
        expected += float(((a - b) ** 2).sum().sqrt() / (a**2).sum().sqrt())
        expected += float((a.log() - b.log()).abs().mean())
    assert float(stft_loss(y, y_hat)) == pytest.approx(expected / 3, rel=1e-9)
