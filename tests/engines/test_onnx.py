"""The onnxruntime engine gives the plain forward's samples: any architecture, any length."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hifigan_cli.config import PRESETS, GeneratorConfig, MelConfig, Variant
from hifigan_cli.engines import onnx as engine
from hifigan_cli.engines.onnx import OnnxEngine, piece_edges
from hifigan_cli.errors import DeviceError, UsageError
from hifigan_cli.models import ModelFile
from hifigan_cli.types import FloatArray
from tests.engines.test_torch import mel_of, snr_db
from tests.models.test_generator import configs
from tests.models_for_tests import TINY, loud_model

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def model_of(config: GeneratorConfig = TINY, seed: int = 0, n_mels: int = 80) -> ModelFile:
    return loud_model(config, MelConfig(n_mels=n_mels), seed)


def plain(model: ModelFile, mel: FloatArray) -> FloatArray:
    """Run the network of torch; `(batch, samples)`."""
    result: FloatArray = model.build()(torch.from_numpy(mel))[:, 0].numpy()
    return result


@st.composite
def architectures(draw: st.DrawFn) -> GeneratorConfig:
    """Draw small generators of all kinds."""
    variant = Variant(
        slope=draw(st.sampled_from([0.1, 0.2])),
        conv_padding=draw(st.sampled_from(["zeros", "reflect"])),
    )
    config = draw(configs(kernels=(1, 3, 5, 7, 11), most=3))
    return config.model_copy(update={"variant": variant})


@settings(max_examples=20)
@given(architectures(), st.integers(1, 3), st.integers(1, 40), st.integers(1, 9), st.integers(0, 9))
def test_any_architecture_and_length(
    config: GeneratorConfig, batch: int, frames: int, n_mels: int, seed: int
) -> None:
    """Guard kernels, dilations, strides, paddings, slopes and the mean over blocks."""
    if config.variant.conv_padding == "reflect":
        frames += 30  # a signal is reflected only within itself: 5 x 6 samples at the most
    model, mel = model_of(config, seed, n_mels), mel_of(batch, frames, seed, n_mels)
    found = OnnxEngine(model, threads=1).synthesize(mel)
    assert found.shape == (batch, frames * config.hop_length)
    np.testing.assert_allclose(found, plain(model, mel), atol=2e-4)


@pytest.mark.parametrize("preset", ["v2", "v3"])
@pytest.mark.parametrize("seed", [0, 1])
def test_presets_to_rounding(preset: str, seed: int) -> None:
    """The engine's samples are the plain forward's to within the rounding of float32."""
    model, mel = model_of(PRESETS[preset].generator, seed), mel_of(1, 37, seed)
    expected = plain(model, mel)
    assert np.std(expected) > 0.1
    assert snr_db(OnnxEngine(model, threads=1).synthesize(mel), expected) > 110


@settings(max_examples=10)
@given(st.integers(1, 700), st.integers(1, 3), st.integers(2, 4))
def test_pieces_leave_no_seams(frames: int, batch: int, threads: int) -> None:
    """Threads that share out the time make the samples that one thread makes of the whole."""
    model, mel = model_of(), mel_of(batch, frames)
    found = OnnxEngine(model, threads=threads).synthesize(mel)
    np.testing.assert_allclose(found, plain(model, mel), atol=1e-5)


@given(st.integers(1, 5000), st.integers(1, 64), st.integers(6, 40))
def test_pieces_cover_the_mel(frames: int, least: int, context: int) -> None:
    """Pieces follow each other from end to end, are none of them empty, and enough to share."""
    edges = piece_edges(frames, least, context)
    lengths = np.diff(edges)
    assert (edges[0], edges[-1]) == (0, frames)
    assert lengths.min() >= 1
    assert lengths.max() - lengths.min() <= 1
    assert len(lengths) == 1 or lengths.max() <= 320 or lengths.min() <= 4 * context
    assert len(lengths) % least == 0 or lengths.min() <= 4 * context


def test_a_mel_of_no_frames_is_no_samples() -> None:
    """Nothing in, nothing out."""
    found = OnnxEngine(model_of(), threads=2).synthesize(mel_of(2, 0))
    assert found.shape == (2, 0)


def test_a_slice_of_a_larger_array_is_read_right() -> None:
    """Arrays need not be contiguous."""
    model, mel = model_of(), mel_of(2, 60)
    found = OnnxEngine(model, threads=1).synthesize(mel[1:, :, 10:50:2])
    np.testing.assert_allclose(found, plain(model, mel[1:, :, 10:50:2].copy()), atol=1e-5)


def test_weights_may_go_once_the_engine_is_there() -> None:
    """The session keeps no view of the caller's arrays, which may be freed or overwritten."""
    model, mel = model_of(), mel_of(1, 20)
    expected = plain(model, mel)
    ready = OnnxEngine(model, threads=1)
    for value in model.weights.values():
        value[...] = 0
    np.testing.assert_allclose(ready.synthesize(mel), expected, atol=1e-5)


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its packages the engine says what to install, and does not try."""
    monkeypatch.setattr(engine, "find_spec", lambda name: None if name == "onnx" else object())
    sentence = engine.missing()
    assert sentence is not None
    assert "onnx not installed" in sentence
    assert "hifigan-cli[onnx]" in sentence
    with pytest.raises(UsageError, match="not installed"):
        OnnxEngine(model_of())


def test_other_precisions_are_refused() -> None:
    """The engine computes in float32, and does not pretend otherwise."""
    with pytest.raises(UsageError, match="no bf16"):
        OnnxEngine(model_of(), precision="bf16")


def test_out_of_memory_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guard the halving of chunks, which waits for our error, which onnxruntime has not."""
    from onnxruntime.capi import onnxruntime_pybind11_state as raised

    ready = OnnxEngine(model_of(), threads=1)
    for error in (raised.Fail, raised.RuntimeException):

        def full(*_: object, error: type[Exception] = error) -> None:
            raise error("[ONNXRuntimeError] : 6 : Status Message: std::bad_alloc")

        monkeypatch.setattr(ready, "_session", type("Session", (), {"run": full}))
        with pytest.raises(DeviceError, match="out of memory in onnxruntime: std::bad_alloc"):
            ready.synthesize(mel_of(1, 20))
