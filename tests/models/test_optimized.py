"""The arrangements for speed compute what the plain networks compute."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name that torch's users know
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hifigan_cli.config import GeneratorConfig
from hifigan_cli.models import Generator, MultiPeriodDiscriminator, MultiScaleDiscriminator
from hifigan_cli.models.optimized import OptimizedDiscriminators, OptimizedGenerator
from hifigan_cli.models.optimized.convolutions import PLAIN, convolve, forms_of
from tests.models_for_tests import TINY
from tests.training import small


def noise(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def gradients(y: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    weighted = (y * torch.linspace(-1, 1, y.numel()).view(y.shape)).sum()
    return torch.autograd.grad(weighted, of, retain_graph=True)


def check_equal(found: Tensor, expected: Tensor, *of: Tensor) -> None:
    """Compare values and the gradients of some tensors."""
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients(found, *of), gradients(expected, *of))


def layer(
    channels: int, outputs: int, samples: int, half: int, groups: int, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Make an input, a weight and a bias."""
    return (
        noise(2, channels, samples, seed=seed).requires_grad_(),
        noise(outputs, channels // groups, 2 * half + 1, seed=seed + 1).requires_grad_(),
        noise(outputs, seed=seed + 2).requires_grad_(),
    )


@settings(max_examples=40)
@given(
    samples=st.integers(1, 90),
    half=st.integers(0, 20),
    stride=st.sampled_from((1, 2, 3, 4, 8)),
    groups=st.sampled_from((1, 2, 4)),
    seed=st.integers(0, 3),
)
def test_phases_are_the_strided_convolution(
    samples: int, half: int, stride: int, groups: int, seed: int
) -> None:
    """Guard values and all three gradients, for any length, kernel and stride."""
    x, weight, bias = layer(8, 12, samples, half, groups, seed)
    expected = F.conv1d(x, weight, bias, stride, half, groups=groups)
    check_equal(convolve(x, weight, bias, stride, groups), expected, x, weight, bias)


@settings(max_examples=12)
@given(
    samples=st.integers(1, 60),
    half=st.integers(0, 20),
    stride=st.sampled_from((1, 2, 3, 4)),
    groups=st.sampled_from((1, 4, 16)),
    seed=st.integers(0, 3),
)
def test_every_form_is_the_same_convolution(
    samples: int, half: int, stride: int, groups: int, seed: int
) -> None:
    """Guard what a GPU chooses from: values and all three gradients of each form."""
    x, weight, bias = layer(16, 32, samples, half, groups, seed)
    expected = F.conv1d(x, weight, bias, stride, half, groups=groups)
    forms = forms_of(stride, groups)
    assert forms[0] == PLAIN
    assert len(forms) == len(set(forms)) == 2 * (1 + (stride > 1)) * {1: 1, 4: 2, 16: 3}[groups]
    for form in forms:
        check_equal(form(x, weight, bias, stride, groups), expected, x, weight, bias)


@pytest.mark.parametrize("stride", [2, 4])
def test_half_precision_stays_half(stride: int) -> None:
    """Guard bf16: the result is as near to the exact one as the plain convolution's."""
    x, weight = noise(1, 8, 64).float(), noise(8, 2, 9).float().requires_grad_()
    exact = F.conv1d(x, weight, None, stride, 4, groups=4)
    with torch.autocast("cpu", torch.bfloat16):
        found = convolve(x.bfloat16(), weight.bfloat16(), None, stride, 4)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), exact, rtol=0.05, atol=0.1)
    found.float().sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32


BLOCK2 = GeneratorConfig(
    resblock=2,
    upsample_rates=(8, 3),
    upsample_kernel_sizes=(16, 5),
    upsample_initial_channel=8,
    resblock_kernel_sizes=(3, 5),
    resblock_dilation_sizes=((1, 2), (2, 6)),
)


@pytest.mark.parametrize("config", [TINY, BLOCK2])
@pytest.mark.parametrize("frames", [1, 7])
def test_the_optimized_generator_is_the_generator(config: GeneratorConfig, frames: int) -> None:
    """Guard the 2-D form: both blocks, dilations, odd rates, and every gradient."""
    torch.manual_seed(1)
    net = Generator(config).double()
    mel = noise(3, 80, frames)
    check_equal(OptimizedGenerator(net)(mel), net(mel), *net.parameters())


@pytest.mark.parametrize(("samples", "seed"), [(701, 0), (512, 1)])
def test_the_optimized_discriminators_are_the_discriminators(
    samples: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard both turns: scores, maps, and as many power iterations as plain passes make."""
    small.shrink(monkeypatch.setattr)
    torch.manual_seed(seed)
    mpd, msd = MultiPeriodDiscriminator().double(), MultiScaleDiscriminator().double()
    y, y_hat = noise(2, 1, samples, seed=seed), noise(2, 1, samples, seed=seed + 9)
    for turn in (OptimizedDiscriminators.forward, OptimizedDiscriminators.compare):
        optimized = OptimizedDiscriminators(mpd, copy.deepcopy(msd))
        expected = [[*mpd(x), *msd(x)] for x in (y, y_hat)]
        found = turn(optimized, y, y_hat, optimized.vectors())
        torch.testing.assert_close(list(optimized.msd.buffers()), list(msd.buffers()))
        for ours, theirs in zip(found, expected, strict=True):
            for a, b in zip(ours, theirs, strict=True):
                torch.testing.assert_close(a.scores.sort().values, b.scores.sort().values)
                for one, other in zip(a.feature_maps, b.feature_maps, strict=True):
                    plain = one.transpose(2, 3) if one.dim() == 4 else one
                    torch.testing.assert_close(plain, other)


def test_the_generators_turn_leaves_the_discriminators_alone() -> None:
    """Guard `compare`: gradients reach the generated samples and no parameter."""
    optimized = OptimizedDiscriminators(MultiPeriodDiscriminator(), MultiScaleDiscriminator())
    y_hat = noise(1, 1, 600).float().requires_grad_()
    y = noise(1, 1, 600, seed=1).float()
    of_y, of_y_hat = optimized.compare(y, y_hat, optimized.vectors())
    assert not any(output.scores.requires_grad for output in of_y)
    torch.stack([output.scores.sum() for output in of_y_hat]).sum().backward()  # type: ignore[no-untyped-call]
    assert y_hat.grad is not None
    assert y_hat.grad.abs().max() > 0
    assert all(p.grad is None for p in optimized.parameters())
