"""Streams of every engine and model variant have the samples of one-pass synthesis."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hifigan_cli.config import PRESETS, GeneratorConfig, MelConfig
from hifigan_cli.engines.selection import ENGINES, EngineOptions, build_engine, unavailable_reason
from hifigan_cli.errors import InputError
from hifigan_cli.models import ModelFile
from hifigan_cli.synthesis import Vocoder
from hifigan_cli.synthesis.streams import VocoderStream
from hifigan_cli.types import FloatArray
from tests.models_for_tests import TINY, loud_model

ENGINES_TO_TEST = [
    pytest.param(
        name, marks=pytest.mark.skipif(bool(reason := unavailable_reason(name)), reason=str(reason))
    )
    for name in ENGINES
    if name not in ("auto", "eager")
]
SMALL = GeneratorConfig(
    resblock=2,
    upsample_rates=(8, 4, 2),
    upsample_kernel_sizes=(16, 8, 4),
    upsample_initial_channel=32,
    resblock_kernel_sizes=(3, 5),
    resblock_dilation_sizes=((1, 2), (2, 6)),
)
MODELS = {
    "tiny": loud_model(TINY),
    "small": loud_model(SMALL, MelConfig(hop_length=64, n_mels=20, n_fft=256, win_length=256)),
}


def random_mel(model: ModelFile, frames: int, seed: int = 0, channels: int = 1) -> FloatArray:
    """Return a log-mel `(channels, n_mels, frames)` at about the level of speech."""
    noise = np.random.default_rng(seed).standard_normal((channels, model.mel.n_mels, frames))
    return (2 * noise - 5).astype(np.float32)


def one_pass(model: ModelFile, mel: FloatArray) -> FloatArray:
    """Run the eager forward pass on a mel."""
    return build_engine(model, EngineOptions("eager"), "cpu").synthesize(mel)


def push_blocks(stream: VocoderStream, mel: FloatArray, sizes: list[int]) -> FloatArray:
    """Push a mel in blocks of `sizes` frames and then the rest; return all samples."""
    samples, start = [], 0
    for size in [*sizes, mel.shape[-1]]:
        samples.append(stream.push(mel[..., start : start + size]))
        start += size
    return np.concatenate([*samples, stream.finish()], axis=-1)


@pytest.mark.parametrize("engine", ENGINES_TO_TEST)
@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=15)
@given(data=st.data())
def test_pushes_of_any_size_equal_one_pass(engine: str, name: str, data: Any) -> None:
    """Each engine matches the eager forward pass within 1e-5, for pushes of any size."""
    model = MODELS[name]
    frames = data.draw(st.integers(1, 90))
    channels = data.draw(st.integers(1, 2))
    sizes = data.draw(st.lists(st.integers(0, 40), max_size=5))
    chunk = data.draw(st.integers(1, 40))
    low_latency = data.draw(st.booleans())
    vocoder = Vocoder(model, EngineOptions(engine, device="cpu", threads=1), chunk)
    mel = random_mel(model, frames, data.draw(st.integers(0, 5)), channels)
    generated = push_blocks(vocoder.stream(low_latency=low_latency), mel, sizes)
    expected = one_pass(model, mel)
    assert generated.shape == expected.shape
    assert np.abs(expected).max() > 0.05
    assert np.abs(generated - expected).max() < 1e-5


@pytest.mark.parametrize("engine", ENGINES_TO_TEST)
@pytest.mark.parametrize("preset", ["v1", "v2", "v3"])
def test_presets(engine: str, preset: str) -> None:
    """The paper's generators match one-pass synthesis within 1e-5, in pushes of one frame."""
    model = loud_model(PRESETS[preset].generator)
    frames = 60 if preset == "v1" else 130
    mel = random_mel(model, frames, seed=3)
    expected = one_pass(model, mel)
    vocoder = Vocoder(model, EngineOptions(engine, device="cpu", threads=1))
    generated = push_blocks(vocoder.stream(chunk_frames=frames // 3), mel, [1] * 20)
    assert np.abs(expected).max() > 0.05
    assert np.abs(generated - expected).max() < 1e-5


@given(
    frames=st.integers(1, 50),
    padding=st.integers(0, 12),
    chunk=st.integers(1, 30),
    sizes=st.lists(st.integers(0, 20), max_size=4),
)
def test_variants_of_imported_models(
    frames: int, padding: int, chunk: int, sizes: list[int]
) -> None:
    """The stream normalizes bands, and pads with copied end frames whose samples it discards."""
    mean, scale = np.linspace(-6, -4, 80), np.linspace(1, 3, 80)
    variant = {
        "input_mean": mean.tolist(),
        "input_scale": scale.tolist(),
        "inference_padding": padding,
    }
    config = GeneratorConfig.model_validate({**TINY.model_dump(), "variant": variant})
    model = loud_model(config)
    mel = random_mel(model, frames)
    generated = push_blocks(
        Vocoder(model, EngineOptions("eager", device="cpu"), chunk).stream(), mel, sizes
    )
    network_mel = (mel - mean[:, None].astype(np.float32)) / scale[:, None].astype(np.float32)
    network_mel = np.pad(network_mel, ((0, 0), (0, 0), (padding, padding)), mode="edge")
    expected = one_pass(MODELS["tiny"], np.asarray(network_mel, np.float32))
    edge = padding * config.hop_length
    np.testing.assert_allclose(generated, expected[:, edge : expected.shape[1] - edge], atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES_TO_TEST)
def test_latency_is_at_most_latency_frames(engine: str) -> None:
    """The samples of a frame are returned after at most `latency_frames` more frames."""
    model = MODELS["tiny"]
    stream = Vocoder(model, EngineOptions(engine, device="cpu", threads=1)).stream(chunk_frames=8)
    mel, n_samples = random_mel(model, 1)[0], 0
    for count in range(1, 80):
        n_samples += len(stream.push(mel))
        assert n_samples >= (count - stream.latency_frames) * 256
    assert n_samples > 30 * 256


def test_invalid_pushes_are_rejected() -> None:
    """A push with wrong bands, dimensions or channels is an input error."""
    stream = Vocoder(MODELS["tiny"], EngineOptions("eager", device="cpu")).stream()
    assert stream.finish().size == 0
    for shape in ((79, 3), (80,), (1, 1, 80, 3)):
        with pytest.raises(InputError, match=r"\(80, frames\)"):
            stream.push(np.zeros(shape, np.float32))
    stream.push(np.zeros((2, 80, 3), np.float32))
    with pytest.raises(InputError, match=r"3 channels\b.* 2"):
        stream.push(np.zeros((3, 80, 3), np.float32))
