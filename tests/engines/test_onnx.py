"""The onnxruntime engine equals the eager forward pass for any architecture and length."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hifigan_cli.config import PRESETS, GeneratorConfig, GeneratorVariant, MelConfig
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


def torch_forward(model: ModelFile, mel: FloatArray) -> FloatArray:
    """Run the torch network; return `(batch, samples)`."""
    result: FloatArray = model.build()(torch.from_numpy(mel))[:, 0].numpy()
    return result


@st.composite
def architectures(draw: st.DrawFn) -> GeneratorConfig:
    """Draw small generators with all variants."""
    variant = GeneratorVariant(
        slope=draw(st.sampled_from([0.1, 0.2])),
        conv_padding=draw(st.sampled_from(["zeros", "reflect"])),
    )
    config = draw(configs(kernels=(1, 3, 5, 7, 11), max_size=3))
    return config.model_copy(update={"variant": variant})


@settings(max_examples=20)
@given(architectures(), st.integers(1, 3), st.integers(1, 40), st.integers(1, 9), st.integers(0, 9))
def test_any_architecture_and_length(
    config: GeneratorConfig, batch: int, frames: int, n_mels: int, seed: int
) -> None:
    """The engine supports all kernels, dilations, strides, paddings, slopes and block counts."""
    if config.variant.conv_padding == "reflect":
        frames += 30  # padding up to 5 x 6 samples is reflected, so the input must be longer
    model, mel = model_of(config, seed, n_mels), mel_of(batch, frames, seed, n_mels)
    output = OnnxEngine(model, threads=1).synthesize(mel)
    assert output.shape == (batch, frames * config.hop_length)
    np.testing.assert_allclose(output, torch_forward(model, mel), atol=2e-4)


@pytest.mark.parametrize("preset", ["v2", "v3"])
@pytest.mark.parametrize("seed", [0, 1])
def test_presets_agree_with_torch(preset: str, seed: int) -> None:
    """The samples equal those of torch within the rounding of float32."""
    model, mel = model_of(PRESETS[preset].generator, seed), mel_of(1, 37, seed)
    expected = torch_forward(model, mel)
    assert np.std(expected) > 0.1
    assert snr_db(OnnxEngine(model, threads=1).synthesize(mel), expected) > 110


@settings(max_examples=10)
@given(st.integers(1, 700), st.integers(1, 3), st.integers(2, 4))
def test_pieces_have_no_seams(frames: int, batch: int, threads: int) -> None:
    """Pieces computed by several threads equal the forward pass of the complete mel."""
    model, mel = model_of(), mel_of(batch, frames)
    output = OnnxEngine(model, threads=threads).synthesize(mel)
    np.testing.assert_allclose(output, torch_forward(model, mel), atol=1e-5)


@given(st.integers(1, 5000), st.integers(1, 64), st.integers(6, 40))
def test_pieces_cover_the_mel(frames: int, multiple: int, context: int) -> None:
    """Pieces are contiguous, nonempty, of nearly equal length, and enough for all threads."""
    edges = piece_edges(frames, multiple, context)
    lengths = np.diff(edges)
    assert (edges[0], edges[-1]) == (0, frames)
    assert lengths.min() >= 1
    assert lengths.max() - lengths.min() <= 1
    assert len(lengths) == 1 or lengths.max() <= 320 or lengths.min() <= 4 * context
    assert len(lengths) % multiple == 0 or lengths.min() <= 4 * context


def test_empty_mel_gives_no_samples() -> None:
    """A mel without frames gives no samples."""
    output = OnnxEngine(model_of(), threads=2).synthesize(mel_of(2, 0))
    assert output.shape == (2, 0)


def test_noncontiguous_mel() -> None:
    """The mel need not be contiguous."""
    model, mel = model_of(), mel_of(2, 60)
    output = OnnxEngine(model, threads=1).synthesize(mel[1:, :, 10:50:2])
    np.testing.assert_allclose(output, torch_forward(model, mel[1:, :, 10:50:2].copy()), atol=1e-5)


def test_engine_does_not_depend_on_the_model_file() -> None:
    """The session has no view of the caller's arrays, which can be freed or overwritten."""
    model, mel = model_of(), mel_of(1, 20)
    expected = torch_forward(model, mel)
    onnx_engine = OnnxEngine(model, threads=1)
    for value in model.weights.values():
        value[...] = 0
    np.testing.assert_allclose(onnx_engine.synthesize(mel), expected, atol=1e-5)


def test_missing_package_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its packages the engine reports what to install."""
    monkeypatch.setattr(engine, "find_spec", lambda name: None if name == "onnx" else object())
    reason = engine.unavailable_reason()
    assert reason is not None
    assert reason.startswith("onnx ")
    assert "hifigan-cli[onnx]" in reason
    with pytest.raises(UsageError, match="onnx") as caught:
        OnnxEngine(model_of())
    assert "hifigan-cli[onnx]" in (caught.value.hint or "")


def test_other_precisions_are_rejected() -> None:
    """The engine supports only float32."""
    with pytest.raises(UsageError, match="bf16"):
        OnnxEngine(model_of(), precision="bf16")


def test_out_of_memory_raises_device_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime's errors become a DeviceError, after which chunks are halved."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    onnx_engine = OnnxEngine(model_of(), threads=1)
    for error in (state.Fail, state.RuntimeException):

        def full(*_: object, error: type[Exception] = error) -> None:
            raise error("[ONNXRuntimeError] : 6 : Status Message: std::bad_alloc")

        monkeypatch.setattr(onnx_engine, "_session", type("Session", (), {"run": full}))
        with pytest.raises(DeviceError, match="onnxruntime: std::bad_alloc"):
            onnx_engine.synthesize(mel_of(1, 20))
