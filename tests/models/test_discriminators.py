"""The discriminators are the paper's, and the mistakes of other implementations would be seen."""

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
    discriminate,
    halve,
)
from hifigan_cli.models.generator import count_parameters
from hifigan_cli.types import DoubleArray
from tests.models import reference


def weights_of(net: nn.Module) -> dict[str, DoubleArray]:
    """Return the weights that the convolutions of a network really use, float64."""
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
    """Measure the largest relative difference over all maps; inf where shapes or counts differ."""
    if len(output.feature_maps) != len(maps):
        return float("inf")
    worst = 0.0
    for ours, theirs in zip(output.feature_maps, maps, strict=True):
        if ours[0].shape != theirs.shape:
            return float("inf")
        scale_ = np.abs(theirs).max()
        worst = max(worst, float(np.abs(ours[0].detach().numpy() - theirs).max() / scale_))
    if not torch.equal(output.scores, output.feature_maps[-1].flatten(1)):
        return float("inf")
    return worst


def period_error(period_: int, samples: int, seed: int = 0) -> float:
    torch.manual_seed(seed)
    net = PeriodDiscriminator(period_).double().eval()
    x = sound(samples, seed)
    expected = reference.period_maps(period_, weights_of(net), x[0, 0].numpy())
    return difference(net(x), expected)


def scale_error(samples: int = 700, *, spectral: bool) -> float:
    torch.manual_seed(1)
    net = ScaleDiscriminator(spectral=spectral).double().eval()
    x = sound(samples)
    return difference(net(x), reference.scale_maps(weights_of(net), x[0, 0].numpy()))


@pytest.mark.parametrize(("period_", "samples"), [(2, 501), (3, 500), (11, 503)])
def test_period_discriminators_equal_the_formulas(period_: int, samples: int) -> None:
    """Guard MPD: folding, reflection, strides with 1 at last, slopes, bare scores, all maps."""
    assert period_error(period_, samples) < 1e-12


@pytest.mark.parametrize("spectral", [True, False])
def test_scale_discriminators_equal_the_formulas(spectral: bool) -> None:
    """Guard MSD: kernels, strides, groups, slopes, bare scores, all maps."""
    assert scale_error(spectral=spectral) < 1e-12


def test_both_report_each_sub_discriminator() -> None:
    """Guard the structure: five periods, three scales, each with all its maps."""
    x = sound(600).float()
    of_mpd, of_msd = MultiPeriodDiscriminator()(x), MultiScaleDiscriminator()(x)
    assert [len(output.feature_maps) for output in of_mpd] == [6] * 5
    assert [len(output.feature_maps) for output in of_msd] == [8] * 3
    assert [net.period for net in MultiPeriodDiscriminator().discriminators] == [2, 3, 5, 7, 11]


def test_parameters_are_counted_exactly() -> None:
    """Guard the sizes of both, as the paper's code has them."""
    with torch.device("meta"):
        assert count_parameters(MultiPeriodDiscriminator()) == 41_105_770
        assert count_parameters(MultiScaleDiscriminator()) == 29_618_821


@pytest.mark.parametrize("width", [0.5, 0.25, 0.125])
def test_narrow_discriminators_work_alike(width: float) -> None:
    """A part of the channels: the same kind of output for about width squared of the weights."""
    for kind in (MultiPeriodDiscriminator, MultiScaleDiscriminator):
        whole, narrow = kind(), kind(width)
        share = count_parameters(narrow) / count_parameters(whole)
        assert width**2 * 0.9 < share < width**2 * 1.6
        samples = torch.randn(1, 1, 4096)
        for a, b in zip(whole(samples), narrow(samples), strict=True):
            assert a.scores.shape == b.scores.shape
            assert len(a.feature_maps) == len(b.feature_maps)


def test_the_scales_are_averaged_with_padding_2() -> None:
    """Guard the pooling (mistake 4), and that each scale reads the one above it."""
    x = sound(101)
    half = reference.halve(x[0, 0].numpy())
    np.testing.assert_allclose(halve(x)[0, 0].numpy(), half, atol=1e-12)
    torch.manual_seed(2)
    net = MultiScaleDiscriminator().double().eval()
    x = sound(900)
    level, output = x[0, 0].numpy(), net(x)
    for index, sub in enumerate(net.discriminators):
        assert difference(output[index], reference.scale_maps(weights_of(sub), level)) < 1e-12
        level = reference.halve(level)


def test_spectral_norm_is_on_the_first_scale_only() -> None:
    """Guard which norm trains which scale."""
    kinds = []
    for sub in MultiScaleDiscriminator().discriminators:
        names = {
            type(part).__name__
            for name, part in sub.named_modules()
            if name.endswith("parametrizations.weight.0")
        }
        assert sum(parametrize.is_parametrized(module, "weight") for module in sub.modules()) == 8
        kinds.append(names)
    assert kinds == [{"_SpectralNorm"}, {"_WeightNorm"}, {"_WeightNorm"}]


@settings(max_examples=20)
@given(samples=st.integers(20, 200), period_=st.sampled_from(PERIODS))
def test_folding_keeps_every_sample(samples: int, period_: int) -> None:
    """Guard the fold for any length: rows of `period` samples, the end reflected."""
    x = sound(samples)
    rows = PeriodDiscriminator(period_).fold(x)
    flat = rows.flatten()
    assert rows.shape == (1, 1, -(-samples // period_), period_)
    assert torch.equal(flat[:samples], x.flatten())
    mirrored = x.flatten()[samples - 1 - (len(flat) - samples) : samples - 1].flip(0)
    assert torch.equal(flat[samples:], mirrored)


def activated(convs: nn.ModuleList, last: nn.Module, x: Tensor) -> DiscriminatorOutput:
    """Discriminate with the mistake of an activation on the scores."""
    output = discriminate(convs, last, x)
    scores = F.leaky_relu(output.feature_maps[-1], 0.1)
    return DiscriminatorOutput(scores.flatten(1), [*output.feature_maps[:-1], scores])


def without_scores(convs: nn.ModuleList, last: nn.Module, x: Tensor) -> DiscriminatorOutput:
    """Discriminate with the mistake of leaving the scores out of the feature maps."""
    output = discriminate(convs, last, x)
    return DiscriminatorOutput(output.scores, output.feature_maps[:-1])


@pytest.mark.parametrize("mistaken", [activated, without_scores])
def test_mistakes_about_scores_would_be_seen(
    mistaken: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard the guard of mistake 4, for both discriminators."""
    monkeypatch.setattr(discriminators, "discriminate", mistaken)
    assert period_error(3, 500) > 1e-4
    assert scale_error(spectral=False) > 1e-4


def test_other_constants_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guard the guard of mistake 4: the last 1024 convolution of MPD with stride 3; MelGAN's 0.2,
    a slope that is told from 0.1."""
    with monkeypatch.context() as changed:
        changed.setattr(discriminators, "PERIOD_STRIDES", (3, 3, 3, 3, 3))
        assert period_error(3, 500) > 1e-4
    monkeypatch.setattr(discriminators, "SLOPE", 0.2)
    assert period_error(3, 500) > 1e-4
    assert scale_error(spectral=False) > 1e-4


def test_a_pool_padding_of_1_would_be_seen() -> None:
    """Guard the guard of mistake 4: the average pool padded by 1."""
    x = sound(100)
    wrong = F.avg_pool1d(x, 4, 2, padding=1)[0, 0].numpy()
    assert wrong.shape != reference.halve(x[0, 0].numpy()).shape
