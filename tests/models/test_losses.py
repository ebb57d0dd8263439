"""The losses are sums over sub-discriminators, in the paper's directions."""

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
    """Make outputs of unlike sizes, so that a mean over all is no sum of means."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for batch, places in SIZES:
        scores = torch.randn(batch, places, generator=generator)
        inner = torch.randn(batch, 5, places + 1, generator=generator)
        made.append(DiscriminatorOutput(scores, [inner, scores]))
    return made


@pytest.mark.parametrize("seed", [0, 10])
def test_discriminator_loss_is_equation_1(seed: int) -> None:
    """Guard the sum over sub-discriminators: real to 1, fake to 0."""
    real, fake = outputs(seed), outputs(seed + 1)
    expected = sum(
        float(((r.scores - 1) ** 2).mean() + (f.scores**2).mean())
        for r, f in zip(real, fake, strict=True)
    )
    assert float(discriminator_loss(real, fake)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("seed", [0, 10])
def test_adversarial_loss_is_equation_2(seed: int) -> None:
    """Guard the sum over sub-discriminators: fake to 1."""
    fake = outputs(seed)
    expected = sum(float(((f.scores - 1) ** 2).mean()) for f in fake)
    assert float(adversarial_loss(fake)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("seed", [0, 10])
def test_feature_loss_is_equation_4(seed: int) -> None:
    """Guard the sum of each map's mean, over all maps, those of the scores included."""
    real, fake = outputs(seed), outputs(seed + 1)
    expected = sum(
        float((a - b).abs().mean())
        for r, f in zip(real, fake, strict=True)
        for a, b in zip(r.feature_maps, f.feature_maps, strict=True)
    )
    assert float(feature_loss(real, fake)) == pytest.approx(expected, rel=1e-5)


def test_perfect_outputs_cost_nothing() -> None:
    """Guard the directions: what each side strives for has loss 0, and the contrary has not."""
    ones = [DiscriminatorOutput(torch.ones(1, 3), [torch.ones(1, 3)])]
    zeros = [DiscriminatorOutput(torch.zeros(1, 3), [torch.zeros(1, 3)])]
    assert float(discriminator_loss(ones, zeros)) == 0
    assert float(discriminator_loss(zeros, ones)) == 2
    assert float(adversarial_loss(ones)) == 0
    assert float(adversarial_loss(zeros)) == 1


def test_feature_loss_compares_real_with_fake() -> None:
    """Guard mistake 1: real against real is always 0, and gives the generator no gradient."""
    torch.manual_seed(0)
    net = MultiPeriodDiscriminator()
    real = torch.randn(1, 1, 400)
    fake = (real + 0.1 * torch.randn_like(real)).requires_grad_()
    with torch.no_grad():
        of_real = net(real)
    loss = feature_loss(of_real, net(fake))
    (gradient,) = torch.autograd.grad(loss, fake)
    assert float(loss.detach()) > 0
    assert gradient.abs().max() > 0
    assert float(feature_loss(of_real, of_real)) == 0


def test_unlike_numbers_of_outputs_are_an_error() -> None:
    """Guard against a sub-discriminator left out in silence."""
    with pytest.raises(ValueError, match="zip"):
        feature_loss(outputs(0), outputs(1)[:2])
    with pytest.raises(ValueError, match="zip"):
        discriminator_loss(outputs(0)[:2], outputs(1))


def test_mel_loss_is_the_mean_absolute_difference() -> None:
    """Guard equation 3: a mean over batch, mels and frames, without the weight of 45."""
    real, fake = torch.zeros(2, 80, 5), torch.full((2, 80, 5), -0.5)
    assert float(mel_loss(real, fake)) == pytest.approx(0.5)


def test_losses_of_half_precision_are_single() -> None:
    """Guard bf16 training: sums of many squares are taken in float32."""
    half = [
        DiscriminatorOutput(j.scores.bfloat16(), [m.bfloat16() for m in j.feature_maps])
        for j in outputs(0)
    ]
    assert adversarial_loss(half).dtype == torch.float32
    assert feature_loss(half, half).dtype == torch.float32
    assert discriminator_loss(half, half).dtype == torch.float32


@pytest.mark.parametrize("seed", [0, 1])
def test_spectral_loss_hears_what_mels_do_not(seed: int) -> None:
    """Nothing for equal sound; more the more noise; a gradient that is finite even in silence."""
    torch.manual_seed(seed)
    real = torch.randn(2, 4096)
    noise = torch.randn(2, 4096)
    errors = [float(stft_loss(real, real + level * noise)) for level in (0.0, 0.1, 0.5)]
    assert errors[0] == 0.0
    assert errors[0] < errors[1] < errors[2]
    silent = torch.zeros(2, 4096, requires_grad=True)
    torch.autograd.backward(stft_loss(real, silent))
    assert silent.grad is not None
    assert torch.isfinite(silent.grad).all()


def test_spectral_loss_is_what_it_says() -> None:
    """Against the definition, by hand, at three resolutions."""
    torch.manual_seed(3)
    real, fake = torch.randn(2, 1, 4096, dtype=torch.float64)
    stft = partial(torch.stft, pad_mode="constant", return_complex=True)
    expected = 0.0
    for n in (512, 1024, 2048):
        window = torch.hann_window(n, dtype=torch.float64)
        a, b = ((stft(x, n, n // 4, window=window).abs() ** 2 + 1e-7).sqrt() for x in (real, fake))
        expected += float(((a - b) ** 2).sum().sqrt() / (a**2).sum().sqrt())
        expected += float((a.log() - b.log()).abs().mean())
    assert float(stft_loss(real, fake)) == pytest.approx(expected / 3, rel=1e-9)
