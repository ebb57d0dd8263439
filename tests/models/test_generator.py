"""The generator equals a slow reference, and its context and output length are exact."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hifigan_cli.config import PRESETS, GeneratorConfig, GeneratorVariant, preset
from hifigan_cli.config.architecture import context_frames, min_frames
from hifigan_cli.models import Generator, generator
from hifigan_cli.models.generator import count_parameters
from hifigan_cli.models.norms import fold_weight_norm, load_folded_weights
from tests.models.reference import generate

SMALL = GeneratorConfig(
    upsample_rates=(4, 2),
    upsample_kernel_sizes=(8, 4),
    upsample_initial_channel=12,
    resblock_kernel_sizes=(3, 5),
    resblock_dilation_sizes=((1, 3), (1, 2)),
)
SMALL_2 = SMALL.model_copy(update={"resblock": 2})


def build_generator(
    config: GeneratorConfig, n_mels: int = 80, seed: int = 0, *, weight_norm: bool = False
) -> Generator:
    """Build a generator with seeded weights, large enough that no path is negligible."""
    torch.manual_seed(seed)
    net = Generator(config, n_mels, weight_norm=weight_norm)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.1)
    return net


def difference(net: Generator, mel: torch.Tensor, config: GeneratorConfig | None = None) -> float:
    """Return the largest difference of a float64 network from the reference."""
    state = {key: value.numpy() for key, value in net.state_dict().items()}
    with torch.no_grad():
        y_hat = net(mel[None])[0, 0].numpy()
    return float(np.abs(y_hat - generate(config or net.config, state, mel.numpy())).max())


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("config", [SMALL, SMALL_2], ids=["type 1", "type 2"])
def test_generator_equals_the_reference(config: GeneratorConfig, seed: int) -> None:
    """Slopes, order of activations, fusion by the mean, and padding agree."""
    net = build_generator(config, 6, seed).double()
    assert difference(net, 3 * torch.randn(6, 11, dtype=torch.float64)) < 1e-12


@pytest.mark.parametrize("name", PRESETS)
def test_presets_equal_the_reference(name: str) -> None:
    """Every stage, kernel and dilation of V1, V2 and V3 agrees."""
    net = build_generator(preset(name).generator).double()
    assert difference(net, 3 * torch.randn(80, 2, dtype=torch.float64)) < 1e-12


@pytest.mark.parametrize("config", [SMALL, SMALL_2], ids=["type 1", "type 2"])
@pytest.mark.parametrize(
    "variant",
    [
        GeneratorVariant(slope=0.2),
        GeneratorVariant(conv_padding="reflect"),
        GeneratorVariant(slope=0, conv_padding="reflect"),
    ],
    ids=["slope", "reflecting", "both"],
)
def test_variants_equal_the_reference(config: GeneratorConfig, variant: GeneratorVariant) -> None:
    """Networks of other tools have another slope, or convolutions with reflection padding."""
    varied = config.model_copy(update={"variant": variant})
    net = build_generator(varied, 6).double()
    mel = 3 * torch.randn(6, 31, dtype=torch.float64)
    assert difference(net, mel) < 1e-12
    assert difference(net, mel, config) > 1e-4  # the official network differs


@settings(max_examples=20)
@given(
    rates=st.lists(st.sampled_from([2, 4, 8]), min_size=1, max_size=3),
    kernel=st.sampled_from([3, 5, 11]),
    dilation=st.integers(1, 12),
    resblock=st.sampled_from([1, 2]),
)
def test_min_frames_with_reflection_padding(
    rates: list[int], kernel: int, dilation: int, resblock: int
) -> None:
    """PyTorch cannot pad a mel that is one frame shorter."""
    config = GeneratorConfig(
        resblock=resblock,
        upsample_rates=rates,
        upsample_kernel_sizes=[2 * rate for rate in rates],
        upsample_initial_channel=8,
        resblock_kernel_sizes=(3, kernel),
        resblock_dilation_sizes=((1,), (dilation, 1)),
        variant=GeneratorVariant(conv_padding="reflect"),
    )
    net, frames = Generator(config, 2), min_frames(config)
    with torch.no_grad():
        assert net(torch.zeros(1, 2, frames)).shape[-1] == frames * config.hop_length
        with pytest.raises(RuntimeError, match=r"[Pp]adding"):
            net(torch.zeros(1, 2, frames - 1))


def test_wrong_slope_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison detects a slope of 0.1 instead of 0.01 before the last convolution."""
    monkeypatch.setattr(generator, "FINAL_LRELU_SLOPE", 0.1)
    net = build_generator(SMALL, 6).double()
    assert difference(net, 3 * torch.randn(6, 11, dtype=torch.float64)) > 1e-4


@pytest.mark.parametrize("config", [SMALL, SMALL_2], ids=["type 1", "type 2"])
def test_activation_after_the_convolution_is_detected(
    config: GeneratorConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison detects activations after the convolutions."""

    def wrong_forward_1(block: generator.ResBlock1, x: torch.Tensor) -> torch.Tensor:
        for dilated, plain in zip(block.convs1, block.convs2, strict=True):
            y = nn.functional.leaky_relu(dilated(x), 0.1)
            x = x + nn.functional.leaky_relu(plain(y), 0.1)
        return x

    def wrong_forward_2(block: generator.ResBlock2, x: torch.Tensor) -> torch.Tensor:
        for conv in block.convs:
            x = x + nn.functional.leaky_relu(conv(x), 0.1)
        return x

    monkeypatch.setattr(generator.ResBlock1, "forward", wrong_forward_1)
    monkeypatch.setattr(generator.ResBlock2, "forward", wrong_forward_2)
    net = build_generator(config, 6).double()
    assert difference(net, 3 * torch.randn(6, 11, dtype=torch.float64)) > 1e-4


@pytest.mark.parametrize(
    ("name", "with_norm", "folded"),
    [("v1", 13_936_130, 13_926_017), ("v2", 928_514, 925_985), ("v3", 1_464_322, 1_462_273)],
)
def test_parameter_counts(name: str, with_norm: int, folded: int) -> None:
    """The counts are those of the official networks, with weight norm and folded."""
    with torch.device("meta"):
        assert count_parameters(Generator(preset(name).generator)) == with_norm
        assert count_parameters(Generator(preset(name).generator, weight_norm=False)) == folded


def test_weights_have_the_default_initialization() -> None:
    """The official initialization with N(0, 0.01) has no effect, so it is not used."""
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
    draw: st.DrawFn, kernels: tuple[int, ...] = (1, 3, 5, 7), max_size: int = 2
) -> GeneratorConfig:
    """Draw small generators of any structure, with at most `max_size` blocks and dilations."""
    rates = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    sizes = tuple(draw(st.lists(st.sampled_from(kernels), min_size=1, max_size=max_size)))
    dilations = st.lists(st.integers(1, 6), min_size=1, max_size=max_size).map(tuple)
    return GeneratorConfig(
        resblock=draw(st.sampled_from([1, 2])),
        upsample_rates=rates,
        upsample_kernel_sizes=tuple(rate + 2 * draw(st.integers(0, 3)) for rate in rates),
        upsample_initial_channel=2 ** len(rates) * 2,
        resblock_kernel_sizes=sizes,
        resblock_dilation_sizes=tuple(draw(dilations) for _ in sizes),
    )


@given(config=configs(), frames=st.integers(1, 9), n_mels=st.integers(1, 5))
def test_length_is_frames_times_hop(config: GeneratorConfig, frames: int, n_mels: int) -> None:
    """Every architecture that the configuration allows has this output length."""
    with torch.no_grad():
        y_hat = Generator(config, n_mels)(torch.randn(2, n_mels, frames))
    assert y_hat.shape == (2, 1, frames * config.hop_length)
    assert y_hat.abs().max() <= 1


def measured_context(net: Generator) -> int:
    """Return how many frames on each side change a frame's samples, from float64 gradients."""
    center = context_frames(net.config) + 6
    mel = torch.randn(1, 2, 2 * center + 1, dtype=torch.float64, requires_grad=True)
    hop = net.config.hop_length
    samples = net(mel)[0, 0, center * hop : (center + 1) * hop]
    weights = torch.rand_like(samples) + 0.5
    (gradient,) = torch.autograd.grad((samples * weights).sum(), mel)
    offsets = gradient.abs().sum(dim=(0, 1)).nonzero().flatten() - center
    return int(offsets.abs().max())


@settings(max_examples=60)
@given(config=configs())
def test_context_is_exact(config: GeneratorConfig) -> None:
    """With a smaller context, chunked synthesis would change samples; a larger one is slower."""
    assert measured_context(build_generator(config, 2).double()) == context_frames(config)


@pytest.mark.parametrize(("name", "frames"), [("v1", 13), ("v2", 13), ("v3", 11)])
def test_context_of_the_presets(name: str, frames: int) -> None:
    """The receptive fields are known; a narrow network has the same context."""
    config = preset(name).generator
    assert context_frames(config) == frames
    narrow = config.model_copy(update={"upsample_initial_channel": 2 ** len(config.upsample_rates)})
    assert measured_context(build_generator(narrow, 2).double()) == context_frames(narrow) == frames


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("seed", [0, 1])
def test_folding_does_not_change_the_output(name: str, seed: int) -> None:
    """Fold weight norm, and load the folded weights into a network with weight norm."""
    config = preset(name).generator
    net = build_generator(config, seed=seed, weight_norm=True)
    with torch.no_grad():
        for key, parameter in net.named_parameters():
            if key.endswith("original0"):  # as after training, not |v|
                parameter.mul_(torch.rand_like(parameter) + 0.5)
        mel = torch.randn(1, 80, 3)
        expected = net(mel)
        plain = Generator(config, weight_norm=False)
        plain.load_state_dict(fold_weight_norm(net.state_dict()))
        torch.testing.assert_close(plain(mel), expected, atol=1e-6, rtol=0)
        restored = build_generator(config, seed=seed + 7, weight_norm=True)
        load_folded_weights(restored, plain.state_dict())
        torch.testing.assert_close(restored(mel), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("wrong", ["sum", "chain"])
def test_wrong_fusion_is_detected(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison detects residual blocks that are summed, or run one after the other."""

    def mrf(net: Generator, stage: int, x: torch.Tensor) -> torch.Tensor:
        blocks = list(net.resblocks)[stage * 2 : stage * 2 + 2]
        if wrong == "sum":
            return torch.stack([block(x) for block in blocks]).sum(dim=0)
        for block in blocks:
            x = block(x)
        return x

    monkeypatch.setattr(Generator, "mrf", mrf)
    net = build_generator(SMALL, 6).double()
    assert difference(net, 3 * torch.randn(6, 11, dtype=torch.float64)) > 1e-4
