"""The enhancer network: shapes, context, and its model file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hifigan_cli.config import MelConfig
from hifigan_cli.enhancement.config import EnhancerConfig
from hifigan_cli.enhancement.model_file import read_enhancer, write_enhancer
from hifigan_cli.enhancement.network import Depthwise, Enhancer, PatchDiscriminator, noise_floor
from hifigan_cli.errors import ModelError
from tests.enhancement.helpers import tiny_enhancer
from tests.models_for_tests import write_tiny_model


@settings(max_examples=40)
@given(frames=st.integers(1, 40), dilation=st.integers(1, 9), seed=st.integers(0, 3))
def test_depthwise_equals_a_grouped_convolution(frames: int, dilation: int, seed: int) -> None:
    """The sum of shifted products equals PyTorch's convolution, also for short inputs."""
    torch.manual_seed(seed)
    depthwise = Depthwise(6, 7, dilation)
    expected = torch.nn.Conv1d(6, 6, 7, padding=3 * dilation, dilation=dilation, groups=6)
    with torch.no_grad():
        expected.weight.copy_(depthwise.weight.T[:, None])
        expected.bias.copy_(depthwise.bias)  # type: ignore[union-attr]
        x = torch.randn(2, frames, 6)
        assert torch.allclose(depthwise(x), expected(x.transpose(1, 2)).transpose(1, 2), atol=1e-6)


@settings(max_examples=25)
@given(frames=st.integers(1, 60), batch=st.integers(1, 3))
def test_output_has_the_shape_of_the_input(frames: int, batch: int) -> None:
    """The output is also finite for silence."""
    network = tiny_enhancer().build()
    mel = torch.full((batch, 80, frames), -11.5)
    assert network(mel).shape == mel.shape
    assert torch.isfinite(network(mel)).all()


@pytest.mark.parametrize("place", [40, 55])
def test_context_frames_is_exact(place: int) -> None:
    """Frames within `context_frames` change a frame of the output; frames beyond do not."""
    model = tiny_enhancer()
    network, context = model.build(), model.enhancer.context_frames
    torch.manual_seed(2)
    mel = torch.randn(1, 80, 100) - 5
    floor = noise_floor(mel)
    before = network(mel, floor)[..., place]
    for distance, expected in ((context, True), (context + 1, False)):
        for side in (-1, 1):
            changed = mel.clone()
            changed[..., place + side * distance] += 3
            differs = not torch.equal(network(changed, floor)[..., place], before)
            assert differs == expected, (distance, side)


def test_default_network_is_small() -> None:
    """The network has 1 to 2 million weights, because the package contains it as fp16."""
    parameters = sum(p.numel() for p in Enhancer(EnhancerConfig(), 80).parameters())
    assert 1_000_000 < parameters < 2_000_000


def test_noise_floor_ignores_loud_frames() -> None:
    """Loud frames do not change the 10th percentile."""
    mel = torch.full((1, 80, 100), -8.0)
    mel[..., 20:90] = 0.0
    assert torch.all(noise_floor(mel) == -8)


def test_discriminator_returns_feature_maps_of_every_layer() -> None:
    """Scores are per patch; the feature loss uses the feature maps."""
    scores, feature_maps = PatchDiscriminator()(torch.randn(2, 80, 32))
    assert scores.shape == (2, 1, 10, 8)
    assert len(feature_maps) == 4


def test_file_round_trip(tmp_path: Path) -> None:
    """A file preserves the network and its description."""
    model = tiny_enhancer(seed=3)
    write_enhancer(tmp_path / "e.safetensors", model)
    loaded = read_enhancer(tmp_path / "e.safetensors")
    assert loaded.mel == model.mel
    assert loaded.enhancer == model.enhancer
    assert loaded.provenance == {"name": "tiny"}
    mel = torch.randn(1, 80, 30)
    assert torch.equal(loaded.build()(mel), model.build()(mel))


def test_other_files_are_errors(tmp_path: Path) -> None:
    """A vocoder is not an enhancer; weights of another architecture do not fit."""
    with pytest.raises(ModelError, match=r"v\.safetensors.* vocoder"):
        read_enhancer(write_tiny_model(tmp_path / "v.safetensors"))
    model = tiny_enhancer()
    mismatch = replace(
        model, enhancer=EnhancerConfig(channels=12, stem_channels=2, dilations=(1, 2))
    )
    with pytest.raises(ModelError, match=r"\(12"):
        mismatch.build()
    write_enhancer(tmp_path / "e.safetensors", replace(model, mel=MelConfig(sample_rate=44_100)))
    assert read_enhancer(tmp_path / "e.safetensors").mel.sample_rate == 44_100
