"""The discriminators equal a slow reference, and the tests detect mistakes of other tools."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hifigan_cli.models import MultiPeriodDiscriminator, MultiScaleDiscriminator, discriminators
from hifigan_cli.models.discriminators import (
    PERIODS,
    DiscriminatorOutput,
    PeriodDiscriminator,
    ScaleDiscriminator,
    downsample,
    run_layers,
)
from hifigan_cli.models.generator import count_parameters
from hifigan_cli.types import DoubleArray
from tests.models import reference


def weights_of(net: nn.Module) -> dict[str, DoubleArray]:
    """Return the effective weights of a network's convolutions, in float64."""
    state = {}
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d):
            assert module.bias is not None
            state[f"{name}.weight"] = module.weight.detach().double().numpy()
            state[f"{name}.bias"] = module.bias.detach().double().numpy()
    return state


def sound(samples: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, 1, samples, dtype=torch.float64, generator=generator)


def difference(output: DiscriminatorOutput, maps: Sequence[DoubleArray]) -> float:
    """Return the largest relative difference of all maps; inf if shapes or counts differ."""
    if len(output.feature_maps) != len(maps):
        return float("inf")
    largest = 0.0
    for actual, expected in zip(output.feature_maps, maps, strict=True):
        if actual[0].shape != expected.shape:
            return float("inf")
        error = np.abs(actual[0].detach().numpy() - expected).max()
        largest = max(largest, float(error / np.abs(expected).max()))
    if not torch.equal(output.scores, output.feature_maps[-1].flatten(1)):
        return float("inf")
    return largest


def period_error(period: int, samples: int, seed: int = 0) -> float:
    torch.manual_seed(seed)
    net = PeriodDiscriminator(period).double().eval()
    x = sound(samples, seed)
    expected = reference.period_maps(period, weights_of(net), x[0, 0].numpy())
    return difference(net(x), expected)


def scale_error(samples: int = 700, *, spectral: bool) -> float:
    torch.manual_seed(1)
    net = ScaleDiscriminator(spectral=spectral).double().eval()
    x = sound(samples)
    return difference(net(x), reference.scale_maps(weights_of(net), x[0, 0].numpy()))


@pytest.mark.parametrize(("period", "samples"), [(2, 501), (3, 500), (11, 503)])
def test_period_discriminators_equal_the_reference(period: int, samples: int) -> None:
    """Reshaping, reflection, strides, slopes, scores without activation, and all maps agree."""
    assert period_error(period, samples) < 1e-12


@pytest.mark.parametrize("spectral", [True, False])
def test_scale_discriminators_equal_the_reference(spectral: bool) -> None:
    """Kernels, strides, groups, slopes, scores without activation, and all maps agree."""
    assert scale_error(spectral=spectral) < 1e-12


def test_output_of_every_sub_discriminator() -> None:
    """MPD has five periods and MSD three scales, each with all feature maps."""
    x = sound(600).float()
    mpd_outputs, msd_outputs = MultiPeriodDiscriminator()(x), MultiScaleDiscriminator()(x)
    assert [len(output.feature_maps) for output in mpd_outputs] == [6] * 5
    assert [len(output.feature_maps) for output in msd_outputs] == [8] * 3
    assert [net.period for net in MultiPeriodDiscriminator().discriminators] == [2, 3, 5, 7, 11]


def test_parameter_counts() -> None:
    """The counts are those of the official code."""
    with torch.device("meta"):
        assert count_parameters(MultiPeriodDiscriminator()) == 41_105_770
        assert count_parameters(MultiScaleDiscriminator()) == 29_618_821


@pytest.mark.parametrize("width", [0.5, 0.25, 0.125])
def test_narrow_discriminators(width: float) -> None:
    """Narrow ones have the same output shapes, and about width squared times the weights."""
    for network in (MultiPeriodDiscriminator, MultiScaleDiscriminator):
        full, narrow = network(), network(width)
        ratio = count_parameters(narrow) / count_parameters(full)
        assert width**2 * 0.9 < ratio < width**2 * 1.6
        samples = torch.randn(1, 1, 4096)
        for a, b in zip(full(samples), narrow(samples), strict=True):
            assert a.scores.shape == b.scores.shape
            assert len(a.feature_maps) == len(b.feature_maps)


def test_scales_are_average_pooled_with_padding_2() -> None:
    """Each scale pools the previous one."""
    x = sound(101)
    half = reference.downsample(x[0, 0].numpy())
    np.testing.assert_allclose(downsample(x)[0, 0].numpy(), half, atol=1e-12)
    torch.manual_seed(2)
    net = MultiScaleDiscriminator().double().eval()
    x = sound(900)
    samples, output = x[0, 0].numpy(), net(x)
    for index, sub in enumerate(net.discriminators):
        assert difference(output[index], reference.scale_maps(weights_of(sub), samples)) < 1e-12
        samples = reference.downsample(samples)


def test_spectral_norm_is_on_the_first_scale_only() -> None:
    """The other scales have weight norm."""
    norms = []
    for sub in MultiScaleDiscriminator().discriminators:
        names = {
            type(norm).__name__
            for name, norm in sub.named_modules()
            if name.endswith("parametrizations.weight.0")
        }
        assert sum(parametrize.is_parametrized(module, "weight") for module in sub.modules()) == 8
        norms.append(names)
    assert norms == [{"_SpectralNorm"}, {"_WeightNorm"}, {"_WeightNorm"}]


@settings(max_examples=20)
@given(samples=st.integers(20, 200), period=st.sampled_from(PERIODS))
def test_to_2d_preserves_every_sample(samples: int, period: int) -> None:
    """For any length, it returns rows of `period` samples, reflected at the end."""
    x = sound(samples)
    rows = PeriodDiscriminator(period).to_2d(x)
    flat = rows.flatten()
    assert rows.shape == (1, 1, -(-samples // period), period)
    assert torch.equal(flat[:samples], x.flatten())
    reflected = x.flatten()[samples - 1 - (len(flat) - samples) : samples - 1].flip(0)
    assert torch.equal(flat[samples:], reflected)


def activated_scores(convs: nn.ModuleList, last: nn.Module, x: Tensor) -> DiscriminatorOutput:
    """Run the layers with a mistake: an activation on the scores."""
    output = run_layers(convs, last, x)
    scores = F.leaky_relu(output.feature_maps[-1], 0.1)
    return DiscriminatorOutput(scores.flatten(1), [*output.feature_maps[:-1], scores])


def without_scores(convs: nn.ModuleList, last: nn.Module, x: Tensor) -> DiscriminatorOutput:
    """Run the layers with a mistake: the feature maps do not include the scores."""
    output = run_layers(convs, last, x)
    return DiscriminatorOutput(output.scores, output.feature_maps[:-1])


@pytest.mark.parametrize("mistake", [activated_scores, without_scores])
def test_wrong_scores_are_detected(mistake: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison detects wrong scores in both discriminators."""
    monkeypatch.setattr(discriminators, "run_layers", mistake)
    assert period_error(3, 500) > 1e-4
    assert scale_error(spectral=False) > 1e-4


def test_wrong_constants_are_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison detects stride 3 in MPD's last 1024 convolution, and MelGAN's slope of 0.2."""
    with monkeypatch.context() as patch:
        patch.setattr(discriminators, "PERIOD_STRIDES", (3, 3, 3, 3, 3))
        assert period_error(3, 500) > 1e-4
    monkeypatch.setattr(discriminators, "LRELU_SLOPE", 0.2)
    assert period_error(3, 500) > 1e-4
    assert scale_error(spectral=False) > 1e-4


def test_pool_padding_of_1_is_detected() -> None:
    """Average pooling with padding 1 has another output length."""
    x = sound(100)
    wrong = F.avg_pool1d(x, 4, 2, padding=1)[0, 0].numpy()
    assert wrong.shape != reference.downsample(x[0, 0].numpy()).shape
