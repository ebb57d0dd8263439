"""The optimized networks compute the same as the plain networks."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hifigan_cli.config import GeneratorConfig
from hifigan_cli.models import Generator, MultiPeriodDiscriminator, MultiScaleDiscriminator
from hifigan_cli.models.optimized import OptimizedDiscriminators, OptimizedGenerator
from hifigan_cli.models.optimized.convolutions import PLAIN, conv_algorithms, convolve
from tests.models_for_tests import TINY
from tests.training import small


def noise(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def gradients(y: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    weighted = (y * torch.linspace(-1, 1, y.numel()).view(y.shape)).sum()
    return torch.autograd.grad(weighted, inputs, retain_graph=True)


def check_equal(actual: Tensor, expected: Tensor, *inputs: Tensor) -> None:
    """Compare two outputs, and their gradients with respect to `inputs`."""
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(gradients(actual, *inputs), gradients(expected, *inputs))


def layer(
    channels: int, outputs: int, samples: int, half: int, groups: int, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return a random input, weight and bias."""
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
def test_convolve_equals_the_strided_convolution(
    samples: int, half: int, stride: int, groups: int, seed: int
) -> None:
    """Output and all three gradients agree, for any length, kernel and stride."""
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
def test_all_algorithms_are_the_same_convolution(
    samples: int, half: int, stride: int, groups: int, seed: int
) -> None:
    """Output and all three gradients agree for each algorithm that a GPU selects from."""
    x, weight, bias = layer(16, 32, samples, half, groups, seed)
    expected = F.conv1d(x, weight, bias, stride, half, groups=groups)
    algorithms = conv_algorithms(stride, groups)
    assert algorithms[0] == PLAIN
    count = 2 * (1 + (stride > 1)) * {1: 1, 4: 2, 16: 3}[groups]
    assert len(algorithms) == len(set(algorithms)) == count
    for algorithm in algorithms:
        check_equal(algorithm(x, weight, bias, stride, groups), expected, x, weight, bias)


@pytest.mark.parametrize("stride", [2, 4])
def test_half_precision_output(stride: int) -> None:
    """The output is bfloat16 and as precise as that of the plain convolution."""
    x, weight = noise(1, 8, 64).float(), noise(8, 2, 9).float().requires_grad_()
    expected = F.conv1d(x, weight, None, stride, 4, groups=4)
    with torch.autocast("cpu", torch.bfloat16):
        y = convolve(x.bfloat16(), weight.bfloat16(), None, stride, 4)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), expected, rtol=0.05, atol=0.1)
    y.float().sum().backward()  # type: ignore[no-untyped-call]
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
def test_optimized_generator_equals_the_generator(config: GeneratorConfig, frames: int) -> None:
    """Both block types, dilations, odd rates and all gradients agree."""
    torch.manual_seed(1)
    net = Generator(config).double()
    mel = noise(3, 80, frames)
    check_equal(OptimizedGenerator(net)(mel), net(mel), *net.parameters())


@pytest.mark.parametrize(("samples", "seed"), [(701, 0), (512, 1)])
def test_optimized_discriminators_equal_the_discriminators(
    samples: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In both steps, scores, maps and the number of power iterations agree."""
    small.use_small_discriminators(monkeypatch.setattr)
    torch.manual_seed(seed)
    mpd, msd = MultiPeriodDiscriminator().double(), MultiScaleDiscriminator().double()
    y, y_hat = noise(2, 1, samples, seed=seed), noise(2, 1, samples, seed=seed + 9)
    for forward in (
        OptimizedDiscriminators.forward,
        OptimizedDiscriminators.forward_generator_step,
    ):
        optimized = OptimizedDiscriminators(mpd, copy.deepcopy(msd))
        expected = [[*mpd(x), *msd(x)] for x in (y, y_hat)]
        outputs = forward(optimized, y, y_hat, optimized.power_iteration())
        torch.testing.assert_close(list(optimized.msd.buffers()), list(msd.buffers()))
        for actual, plain in zip(outputs, expected, strict=True):
            for a, b in zip(actual, plain, strict=True):
                torch.testing.assert_close(a.scores.sort().values, b.scores.sort().values)
                for fmap, plain_fmap in zip(a.feature_maps, b.feature_maps, strict=True):
                    transposed = fmap.transpose(2, 3) if fmap.dim() == 4 else fmap
                    torch.testing.assert_close(transposed, plain_fmap)


def test_generator_step_has_no_discriminator_gradients() -> None:
    """Only the generated samples get gradients, no parameter does."""
    optimized = OptimizedDiscriminators(MultiPeriodDiscriminator(), MultiScaleDiscriminator())
    y_hat = noise(1, 1, 600).float().requires_grad_()
    y = noise(1, 1, 600, seed=1).float()
    y_outputs, y_hat_outputs = optimized.forward_generator_step(
        y, y_hat, optimized.power_iteration()
    )
    assert not any(output.scores.requires_grad for output in y_outputs)
    torch.stack([output.scores.sum() for output in y_hat_outputs]).sum().backward()  # type: ignore[no-untyped-call]
    assert y_hat.grad is not None
    assert y_hat.grad.abs().max() > 0
    assert all(p.grad is None for p in optimized.parameters())
