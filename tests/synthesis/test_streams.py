"""Streams: every engine, pushed frame by frame, gives the whole's samples; variants too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hifigan_cli.config import PRESETS, GeneratorConfig, MelConfig
from hifigan_cli.engines.choose import ENGINES, EngineOptions, make_engine, missing
from hifigan_cli.errors import InputError
from hifigan_cli.models import ModelFile
from hifigan_cli.synthesis import Vocoder
from hifigan_cli.synthesis.streams import VocoderStream
from hifigan_cli.types import FloatArray
from tests.models_for_tests import TINY, loud_model

OTHERS = [
    pytest.param(name, marks=pytest.mark.skipif(bool(why := missing(name)), reason=str(why)))
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


def mel_of(model: ModelFile, frames: int, seed: int = 0, channels: int = 1) -> FloatArray:
    """Make a log-mel `(channels, mels, frames)` of about the levels of speech."""
    noise = np.random.default_rng(seed).standard_normal((channels, model.mel.n_mels, frames))
    return (2 * noise - 5).astype(np.float32)


def whole(model: ModelFile, mel: FloatArray) -> FloatArray:
    """Run the plain forward pass over a mel."""
    return make_engine(model, EngineOptions("eager"), "cpu").synthesize(mel)


def pushed(stream: VocoderStream, mel: FloatArray, cuts: list[int]) -> FloatArray:
    """Push a mel, cut after `cuts` frames each and then in one; return all samples."""
    pieces, start = [], 0
    for size in [*cuts, mel.shape[-1]]:
        pieces.append(stream.push(mel[..., start : start + size]))
        start += size
    return np.concatenate([*pieces, stream.finish()], axis=-1)


@pytest.mark.parametrize("engine", OTHERS)
@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=15)
@given(data=st.data())
def test_pushes_of_any_size_give_the_whole(engine: str, name: str, data: Any) -> None:
    """Engine by engine: the plain forward pass over the whole, within 1e-5, however it is cut."""
    model = MODELS[name]
    frames = data.draw(st.integers(1, 90))
    channels = data.draw(st.integers(1, 2))
    cuts = data.draw(st.lists(st.integers(0, 40), max_size=5))
    chunk = data.draw(st.integers(1, 40))
    prompt = data.draw(st.booleans())
    vocoder = Vocoder(model, EngineOptions(engine, device="cpu", threads=1), chunk)
    mel = mel_of(model, frames, data.draw(st.integers(0, 5)), channels)
    made = pushed(vocoder.stream(prompt=prompt), mel, cuts)
    expected = whole(model, mel)
    assert made.shape == expected.shape
    assert np.abs(expected).max() > 0.05
    assert np.abs(made - expected).max() < 1e-5


@pytest.mark.parametrize("engine", OTHERS)
@pytest.mark.parametrize("preset", ["v1", "v2", "v3"])
def test_presets(engine: str, preset: str) -> None:
    """The paper's generators, in chunks of the stream and pushes of a frame: within 1e-5."""
    model = loud_model(PRESETS[preset].generator)
    frames = 60 if preset == "v1" else 130
    mel = mel_of(model, frames, seed=3)
    expected = whole(model, mel)
    vocoder = Vocoder(model, EngineOptions(engine, device="cpu", threads=1))
    made = pushed(vocoder.stream(chunk_frames=frames // 3), mel, [1] * 20)
    assert np.abs(expected).max() > 0.05
    assert np.abs(made - expected).max() < 1e-5


@given(
    frames=st.integers(1, 50),
    padding=st.integers(0, 12),
    chunk=st.integers(1, 30),
    cuts=st.lists(st.integers(0, 20), max_size=4),
)
def test_variants_of_other_tools(frames: int, padding: int, chunk: int, cuts: list[int]) -> None:
    """Mean and scale a band, and copied end frames whose samples are cut away again."""
    mean, scale = np.linspace(-6, -4, 80), np.linspace(1, 3, 80)
    variant = {
        "input_mean": mean.tolist(),
        "input_scale": scale.tolist(),
        "inference_padding": padding,
    }
    config = GeneratorConfig.model_validate({**TINY.model_dump(), "variant": variant})
    model = loud_model(config)
    mel = mel_of(model, frames)
    made = pushed(Vocoder(model, EngineOptions("eager", device="cpu"), chunk).stream(), mel, cuts)
    ready = (mel - mean[:, None].astype(np.float32)) / scale[:, None].astype(np.float32)
    ready = np.pad(ready, ((0, 0), (0, 0), (padding, padding)), mode="edge")
    expected = whole(MODELS["tiny"], np.asarray(ready, np.float32))
    edge = padding * config.hop_length
    np.testing.assert_allclose(made, expected[:, edge : expected.shape[1] - edge], atol=1e-5)


@pytest.mark.parametrize("engine", OTHERS)
def test_the_latency_is_as_stated(engine: str) -> None:
    """Samples of a frame are out once `latency_frames` have followed it; and not all at the end."""
    model = MODELS["tiny"]
    stream = Vocoder(model, EngineOptions(engine, device="cpu", threads=1)).stream(chunk_frames=8)
    mel, made = mel_of(model, 1)[0], 0
    for count in range(1, 80):
        made += len(stream.push(mel))
        assert made >= (count - stream.latency_frames) * 256
    assert made > 30 * 256


def test_wrong_pushes_are_refused() -> None:
    """Bands, dimensions, and channels that change within a stream."""
    stream = Vocoder(MODELS["tiny"], EngineOptions("eager", device="cpu")).stream()
    assert stream.finish().size == 0
    for shape in ((79, 3), (80,), (1, 1, 80, 3)):
        with pytest.raises(InputError, match="not \\(mels, frames\\)"):
            stream.push(np.zeros(shape, np.float32))
    stream.push(np.zeros((2, 80, 3), np.float32))
    with pytest.raises(InputError, match="3 channels after 2"):
        stream.push(np.zeros((3, 80, 3), np.float32))
