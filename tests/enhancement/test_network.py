"""The enhancer's network: shapes, what a frame depends on, and its file."""

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
from tests.enhancement.small import tiny_enhancer
from tests.models_for_tests import write_tiny_model


@settings(max_examples=40)
@given(frames=st.integers(1, 40), dilation=st.integers(1, 9), seed=st.integers(0, 3))
def test_depthwise_is_a_grouped_convolution(frames: int, dilation: int, seed: int) -> None:
    """The sum of shifted products equals the framework's convolution, also on short inputs."""
    torch.manual_seed(seed)
    ours = Depthwise(6, 7, dilation)
    theirs = torch.nn.Conv1d(6, 6, 7, padding=3 * dilation, dilation=dilation, groups=6)
    with torch.no_grad():
        theirs.weight.copy_(ours.weight.T[:, None])
        theirs.bias.copy_(ours.bias)  # type: ignore[union-attr]
        x = torch.randn(2, frames, 6)
        assert torch.allclose(ours(x), theirs(x.transpose(1, 2)).transpose(1, 2), atol=1e-6)


@settings(max_examples=25)
@given(frames=st.integers(1, 60), batch=st.integers(1, 3))
def test_any_length(frames: int, batch: int) -> None:
    """The result has the input's shape, and is finite also for silence."""
    network = tiny_enhancer().build()
    mel = torch.full((batch, 80, frames), -11.5)
    assert network(mel).shape == mel.shape
    assert torch.isfinite(network(mel)).all()


@pytest.mark.parametrize("place", [40, 55])
def test_a_frame_depends_on_its_context_alone(place: int) -> None:
    """What lies beyond `context_frames` does not matter, what lies at its edge does."""
    model = tiny_enhancer()
    network, reach = model.build(), model.enhancer.context_frames
    torch.manual_seed(2)
    mel = torch.randn(1, 80, 100) - 5
    floor = noise_floor(mel)
    before = network(mel, floor)[..., place]
    for distance, matters in ((reach, True), (reach + 1, False)):
        for side in (-1, 1):
            changed = mel.clone()
            changed[..., place + side * distance] += 3
            differs = not torch.equal(network(changed, floor)[..., place], before)
            assert differs == matters, (distance, side)


def test_size_of_the_default() -> None:
    """The default network stays small: it ships with the tool, as fp16, beside a vocoder."""
    parameters = sum(p.numel() for p in Enhancer(EnhancerConfig(), 80).parameters())
    assert 1_000_000 < parameters < 2_000_000


def test_the_floor_is_what_a_band_has_without_speech() -> None:
    """Loud frames do not move the 10th percentile."""
    mel = torch.full((1, 80, 100), -8.0)
    mel[..., 20:90] = 0.0
    assert torch.all(noise_floor(mel) == -8)


def test_the_discriminator_keeps_feature_maps_of_every_layer() -> None:
    """Scores are per patch; feature maps feed the feature loss."""
    scores, feature_maps = PatchDiscriminator()(torch.randn(2, 80, 32))
    assert scores.shape == (2, 1, 10, 8)
    assert len(feature_maps) == 4


def test_file_round_trip(tmp_path: Path) -> None:
    """A file gives the same network back, and says what it is."""
    model = tiny_enhancer(seed=3)
    write_enhancer(tmp_path / "e.safetensors", model)
    found = read_enhancer(tmp_path / "e.safetensors")
    assert found.mel == model.mel
    assert found.enhancer == model.enhancer
    assert found.provenance == {"name": "tiny"}
    mel = torch.randn(1, 80, 30)
    assert torch.equal(found.build()(mel), model.build()(mel))


def test_other_files_are_refused(tmp_path: Path) -> None:
    """A vocoder is no enhancer; weights of another architecture do not fit."""
    with pytest.raises(ModelError, match="is a vocoder, not an enhancer"):
        read_enhancer(write_tiny_model(tmp_path / "v.safetensors"))
    model = tiny_enhancer()
    wrong = replace(model, enhancer=EnhancerConfig(channels=12, stem_channels=2, dilations=(1, 2)))
    with pytest.raises(ModelError, match="shape"):
        wrong.build()
    write_enhancer(tmp_path / "e.safetensors", replace(model, mel=MelConfig(sample_rate=44_100)))
    assert read_enhancer(tmp_path / "e.safetensors").mel.sample_rate == 44_100
