"""The generator is the paper's, number by number, and its stated reach and length are exact."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hifigan_cli.config import PRESETS, GeneratorConfig, Variant, preset
from hifigan_cli.config.architecture import context_frames, least_frames
from hifigan_cli.models import Generator, generator
from hifigan_cli.models.generator import count_parameters
from hifigan_cli.models.norms import folded, load_folded
from tests.models.reference import generate

SMALL = GeneratorConfig(
    upsample_rates=(4, 2),
    upsample_kernel_sizes=(8, 4),
    upsample_initial_channel=12,
    resblock_kernel_sizes=(3, 5),
    resblock_dilation_sizes=((1, 3), (1, 2)),
)
SMALL_2 = SMALL.model_copy(update={"resblock": 2})


def seeded(
    config: GeneratorConfig, n_mels: int = 80, seed: int = 0, *, weight_norm: bool = False
) -> Generator:
    """Make a generator with known weights, large enough that no path is negligible."""
    torch.manual_seed(seed)
    net = Generator(config, n_mels, weight_norm=weight_norm)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.1)
    return net


def difference(net: Generator, mel: torch.Tensor, config: GeneratorConfig | None = None) -> float:
    """Measure the largest difference of a float64 network to the reference."""
    state = {key: value.numpy() for key, value in net.state_dict().items()}
    with torch.no_grad():
        ours = net(mel[None])[0, 0].numpy()
    return float(np.abs(ours - generate(config or net.config, state, mel.numpy())).max())


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("config", [SMALL, SMALL_2], ids=["type 1", "type 2"])
def test_equals_the_formulas(config: GeneratorConfig, seed: int) -> None:
    """Guard slopes, order of activations, fusion by the mean, padding (mistake 3)."""
    net = seeded(config, 6, seed).double()
    assert difference(net, 3 * torch.randn(6, 11, dtype=torch.float64)) < 1e-12


@pytest.mark.parametrize("name", PRESETS)
def test_the_presets_equal_the_formulas(name: str) -> None:
    """Guard V1, V2 and V3 whole: every stage, kernel and dilation of the real networks."""
    net = seeded(preset(name).generator).double()
    assert difference(net, 3 * torch.randn(80, 2, dtype=torch.float64)) < 1e-12


@pytest.mark.parametrize("config", [SMALL, SMALL_2], ids=["type 1", "type 2"])
@pytest.mark.parametrize(
    "variant",
    [Variant(slope=0.2), Variant(conv_padding="reflect"), Variant(slope=0, conv_padding="reflect")],
    ids=["slope", "reflecting", "both"],
)
def test_variants_equal_the_formulas(config: GeneratorConfig, variant: Variant) -> None:
    """Guard the networks of other tools: another slope, convolutions that reflect at their ends."""
    varied = config.model_copy(update={"variant": variant})
    net = seeded(varied, 6).double()
    mel = 3 * torch.randn(6, 31, dtype=torch.float64)
    assert difference(net, mel) < 1e-12
    assert difference(net, mel, config) > 1e-4  # the official network would be told apart


@settings(max_examples=20)
@given(
    rates=st.lists(st.sampled_from([2, 4, 8]), min_size=1, max_size=3),
    kernel=st.sampled_from([3, 5, 11]),
    dilation=st.integers(1, 12),
    resblock=st.sampled_from([1, 2]),
)
def test_the_least_frames_of_a_reflecting_network(
    rates: list[int], kernel: int, dilation: int, resblock: int
) -> None:
    """Protects short mels from an error of the framework: one frame less does not work."""
    config = GeneratorConfig(
        resblock=resblock,
        upsample_rates=rates,
        upsample_kernel_sizes=[2 * rate for rate in rates],
        upsample_initial_channel=8,
        resblock_kernel_sizes=(3, kernel),
        resblock_dilation_sizes=((1,), (dilation, 1)),
        variant=Variant(conv_padding="reflect"),
    )
    net, least = Generator(config, 2), least_frames(config)
    with torch.no_grad():
        assert net(torch.zeros(1, 2, least)).shape[-1] == least * config.hop_length
        with pytest.raises(RuntimeError, match=r"[Pp]adding"):
            net(torch.zeros(1, 2, least - 1))


def test_a_wrong_slope_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guard the guard: 0.01 before the last convolution and 0.1 elsewhere are told apart."""
    monkeypatch.setattr(generator, "LAST_SLOPE", 0.1)
    net = seeded(SMALL, 6).double()
    assert difference(net, 3 * torch.randn(6, 11, dtype=torch.float64)) > 1e-4


@pytest.mark.parametrize("config", [SMALL, SMALL_2], ids=["type 1", "type 2"])
def test_activation_after_the_convolution_would_be_seen(
    config: GeneratorConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard the guard of mistake 3: same parameters, activation after each convolution."""

    def after_1(block: generator.ResidualBlock1, x: torch.Tensor) -> torch.Tensor:
        for dilated, plain in zip(block.convs1, block.convs2, strict=True):
            y = nn.functional.leaky_relu(dilated(x), 0.1)
            x = x + nn.functional.leaky_relu(plain(y), 0.1)
        return x

    def after_2(block: generator.ResidualBlock2, x: torch.Tensor) -> torch.Tensor:
        for conv in block.convs:
            x = x + nn.functional.leaky_relu(conv(x), 0.1)
        return x

    monkeypatch.setattr(generator.ResidualBlock1, "forward", after_1)
    monkeypatch.setattr(generator.ResidualBlock2, "forward", after_2)
    net = seeded(config, 6).double()
    assert difference(net, 3 * torch.randn(6, 11, dtype=torch.float64)) > 1e-4


@pytest.mark.parametrize(
    ("name", "normed", "plain"),
    [("v1", 13_936_130, 13_926_017), ("v2", 928_514, 925_985), ("v3", 1_464_322, 1_462_273)],
)
def test_parameters_are_counted_exactly(name: str, normed: int, plain: int) -> None:
    """Guard the sizes that the paper's networks have, with weight norm and folded."""
    with torch.device("meta"):
        assert count_parameters(Generator(preset(name).generator)) == normed
        assert count_parameters(Generator(preset(name).generator, weight_norm=False)) == plain


def test_weights_start_at_the_frameworks_default() -> None:
    """Guard the start of training: the official N(0, 0.01) had no effect, so it is not made."""
    torch.manual_seed(0)
    net = Generator(preset("v2").generator, weight_norm=False)
    for module in net.modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            bound = 1 / math.sqrt(module.weight[0].numel())
            assert module.weight.abs().max() <= bound
            assert float(module.weight.detach().std()) == pytest.approx(
                bound / math.sqrt(3), rel=0.1
            )


@st.composite
def configs(
    draw: st.DrawFn, kernels: tuple[int, ...] = (1, 3, 5, 7), most: int = 2
) -> GeneratorConfig:
    """Draw small generators of any structure, with at most so many blocks and dilations."""
    rates = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    sizes = tuple(draw(st.lists(st.sampled_from(kernels), min_size=1, max_size=most)))
    dilations = st.lists(st.integers(1, 6), min_size=1, max_size=most).map(tuple)
    return GeneratorConfig(
        resblock=draw(st.sampled_from([1, 2])),
        upsample_rates=rates,
        upsample_kernel_sizes=tuple(rate + 2 * draw(st.integers(0, 3)) for rate in rates),
        upsample_initial_channel=2 ** len(rates) * 2,
        resblock_kernel_sizes=sizes,
        resblock_dilation_sizes=tuple(draw(dilations) for _ in sizes),
    )


@given(config=configs(), frames=st.integers(1, 9), mels=st.integers(1, 5))
def test_length_is_frames_times_hop(config: GeneratorConfig, frames: int, mels: int) -> None:
    """Guard the length for every architecture that the configuration allows."""
    with torch.no_grad():
        made = Generator(config, mels)(torch.randn(2, mels, frames))
    assert made.shape == (2, 1, frames * config.hop_length)
    assert made.abs().max() <= 1


def reach(net: Generator) -> int:
    """Measure, by gradients in float64, how many frames to a side a frame's samples depend on."""
    stated = context_frames(net.config)
    centre = stated + 6
    mel = torch.randn(1, 2, 2 * centre + 1, dtype=torch.float64, requires_grad=True)
    hop = net.config.hop_length
    made = net(mel)[0, 0, centre * hop : (centre + 1) * hop]
    weights = torch.rand_like(made) + 0.5
    (gradient,) = torch.autograd.grad((made * weights).sum(), mel)
    touched = gradient.abs().sum(dim=(0, 1)).nonzero().flatten() - centre
    return int(touched.abs().max())


@settings(max_examples=60)
@given(config=configs())
def test_context_is_exactly_what_gradients_reach(config: GeneratorConfig) -> None:
    """Guard chunked synthesis: too small a context would change samples, too large would cost."""
    assert reach(seeded(config, 2).double()) == context_frames(config)


@pytest.mark.parametrize(("name", "frames"), [("v1", 13), ("v2", 13), ("v3", 11)])
def test_context_of_the_presets(name: str, frames: int) -> None:
    """Guard the known receptive fields; the narrow network has the same reach."""
    config = preset(name).generator
    assert context_frames(config) == frames
    narrow = config.model_copy(update={"upsample_initial_channel": 2 ** len(config.upsample_rates)})
    assert reach(seeded(narrow, 2).double()) == context_frames(narrow) == frames


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("seed", [0, 1])
def test_folding_keeps_the_function(name: str, seed: int) -> None:
    """Guard synthesis against training: weight norm folded, and given back."""
    config = preset(name).generator
    net = seeded(config, seed=seed, weight_norm=True)
    with torch.no_grad():
        for key, parameter in net.named_parameters():
            if key.endswith("original0"):  # gains as training would leave them, not |v|
                parameter.mul_(torch.rand_like(parameter) + 0.5)
        mel = torch.randn(1, 80, 3)
        expected = net(mel)
        plain = Generator(config, weight_norm=False)
        plain.load_state_dict(folded(net.state_dict()))
        torch.testing.assert_close(plain(mel), expected, atol=1e-6, rtol=0)
        other = seeded(config, seed=seed + 7, weight_norm=True)
        load_folded(other, plain.state_dict())
        torch.testing.assert_close(other(mel), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("wrong", ["sum", "chain"])
def test_fusion_other_than_the_mean_would_be_seen(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard the guard: residual blocks summed, or run one after another."""

    def fuse(net: Generator, stage: int, x: torch.Tensor) -> torch.Tensor:
        blocks = list(net.resblocks)[stage * 2 : stage * 2 + 2]
        if wrong == "sum":
            return torch.stack([block(x) for block in blocks]).sum(dim=0)
        for block in blocks:
            x = block(x)
        return x

    monkeypatch.setattr(Generator, "fuse", fuse)
    net = seeded(SMALL, 6).double()
    assert difference(net, 3 * torch.randn(6, 11, dtype=torch.float64)) > 1e-4
