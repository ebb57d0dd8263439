"""The onnxruntime engine gives the plain forward's samples: any architecture, any length."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hifigan_cli.config import PRESETS, GeneratorConfig, MelConfig, Variant
from hifigan_cli.engines import onnx as engine
from hifigan_cli.engines.onnx import OnnxEngine, piece_edges
from hifigan_cli.errors import DeviceError, UsageError
from hifigan_cli.models import Generator, ModelFile
from hifigan_cli.types import FloatArray
from tests.models_for_tests import TINY

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def lively_net(config: GeneratorConfig, seed: int = 0, n_mels: int = 80) -> Generator:
    """Make a generator whose every layer keeps the variance of what it reads."""
    torch.manual_seed(seed)
    net = Generator(config, n_mels, weight_norm=False).requires_grad_(False)
    for parameter in net.parameters():
        if parameter.ndim == 3:
            parameter.normal_(0, (parameter[0].numel()) ** -0.5)
    return net


def model_of(net: Generator, n_mels: int = 80) -> ModelFile:
    """Make a model of a network's weights, in the same memory."""
    weights = {key: value.numpy() for key, value in net.state_dict().items()}
    return ModelFile(MelConfig(n_mels=n_mels), net.config, weights)


def engine_of(net: Generator, n_mels: int = 80, threads: int = 1) -> OnnxEngine:
    """Make the engine of a network's weights."""
    return OnnxEngine(model_of(net, n_mels), threads=threads)


def noise_mel(batch: int, n_mels: int, frames: int, seed: int = 0) -> FloatArray:
    """Make a mel of the level of speech."""
    random = np.random.default_rng(seed)
    return random.normal(-5, 2, (batch, n_mels, frames)).astype(np.float32)


def plain(net: Generator, mel: FloatArray) -> FloatArray:
    """Run the network of torch; `(batch, samples)`."""
    result: FloatArray = net(torch.from_numpy(mel))[:, 0].numpy()
    return result


@st.composite
def architectures(draw: st.DrawFn) -> GeneratorConfig:
    """Draw small generators of all kinds."""
    rates = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    blocks = draw(st.integers(1, 3))
    dilations = st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple)
    return GeneratorConfig(
        resblock=draw(st.sampled_from([1, 2])),
        upsample_rates=tuple(rates),
        upsample_kernel_sizes=tuple(rate + 2 * draw(st.integers(0, 4)) for rate in rates),
        upsample_initial_channel=draw(st.integers(1, 5)) * 2 ** len(rates),
        resblock_kernel_sizes=tuple(draw(st.sampled_from([1, 3, 5, 7, 11])) for _ in range(blocks)),
        resblock_dilation_sizes=tuple(draw(dilations) for _ in range(blocks)),
        variant=Variant(
            slope=draw(st.sampled_from([0.1, 0.2])),
            conv_padding=draw(st.sampled_from(["zeros", "reflect"])),
        ),
    )


@settings(max_examples=20)
@given(architectures(), st.integers(1, 3), st.integers(1, 40), st.integers(1, 9), st.integers(0, 9))
def test_any_architecture_and_length(
    config: GeneratorConfig, batch: int, frames: int, n_mels: int, seed: int
) -> None:
    """Guard kernels, dilations, strides, paddings, slopes and the mean over blocks."""
    if config.variant.conv_padding == "reflect":
        frames += 30  # a signal is reflected only within itself: 5 x 6 samples at the most
    net = lively_net(config, seed, n_mels)
    mel = noise_mel(batch, n_mels, frames, seed)
    found = engine_of(net, n_mels).synthesize(mel)
    assert found.shape == (batch, frames * config.hop_samples)
    np.testing.assert_allclose(found, plain(net, mel), atol=2e-4)


@pytest.mark.parametrize("preset", ["v2", "v3"])
@pytest.mark.parametrize("seed", [0, 1])
def test_presets_to_rounding(preset: str, seed: int) -> None:
    """The engine's samples are the plain forward's to within the rounding of float32."""
    net = lively_net(PRESETS[preset].generator, seed)
    mel = noise_mel(1, 80, 37, seed)
    expected = plain(net, mel)
    error = engine_of(net).synthesize(mel) - expected
    assert np.std(expected) > 0.1
    assert 20 * np.log10(np.std(expected) / np.std(error)) > 110


@settings(max_examples=10)
@given(st.integers(1, 700), st.integers(1, 3), st.integers(2, 4))
def test_pieces_leave_no_seams(frames: int, batch: int, threads: int) -> None:
    """Threads that share out the time make the samples that one thread makes of the whole."""
    net = lively_net(TINY)
    mel = noise_mel(batch, 80, frames)
    found = engine_of(net, threads=threads).synthesize(mel)
    np.testing.assert_allclose(found, plain(net, mel), atol=1e-5)


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
    found = engine_of(lively_net(TINY), threads=2).synthesize(noise_mel(2, 80, 0))
    assert found.shape == (2, 0)


def test_a_slice_of_a_larger_array_is_read_right() -> None:
    """Arrays need not be contiguous."""
    net = lively_net(TINY)
    mel = noise_mel(2, 80, 60)
    found = engine_of(net).synthesize(mel[1:, :, 10:50:2])
    np.testing.assert_allclose(found, plain(net, mel[1:, :, 10:50:2].copy()), atol=1e-5)


def test_weights_may_go_once_the_engine_is_there() -> None:
    """The session keeps no view of the caller's arrays, which may be freed or overwritten."""
    net = lively_net(TINY)
    mel = noise_mel(1, 80, 20)
    expected = plain(net, mel)
    model = model_of(net)
    ready = OnnxEngine(model, threads=1)
    for value in model.weights.values():
        value[...] = 0
    np.testing.assert_allclose(ready.synthesize(mel), expected, atol=1e-5)


def test_torch_is_never_imported() -> None:
    """Guard the light path: the engine runs in a process without torch."""
    script = (
        "import sys, numpy as np\n"
        "sys.modules['torch'] = None\n"
        "from hifigan_cli.config import GeneratorConfig, MelConfig\n"
        "from hifigan_cli.engines.onnx import OnnxEngine, missing\n"
        "from hifigan_cli.models import ModelFile\n"
        "assert missing() is None\n"
        "c = GeneratorConfig(upsample_rates=(2,), upsample_kernel_sizes=(4,),\n"
        "    upsample_initial_channel=4, resblock=2, resblock_kernel_sizes=(3,),\n"
        "    resblock_dilation_sizes=((1,),))\n"
        "shapes = {'conv_pre': (4, 8, 7), 'ups.0': (4, 2, 4), 'resblocks.0.convs.0': (2, 2, 3),\n"
        "    'conv_post': (1, 2, 7)}\n"
        "w = {f'{k}.weight': np.ones(s, 'f') for k, s in shapes.items()}\n"
        "w |= {f'{k}.bias': np.ones(s[k == 'ups.0'], 'f') for k, s in shapes.items()}\n"
        "model = ModelFile(MelConfig(n_mels=8), c, w)\n"
        "print(OnnxEngine(model).synthesize(np.ones((1, 8, 5), 'f')).shape)"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (run.stdout.strip(), run.stderr) == ("(1, 10)", "")


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its packages the engine says what to install, and does not try."""
    monkeypatch.setattr(engine, "find_spec", lambda name: None if name == "onnx" else object())
    sentence = engine.missing()
    assert sentence is not None
    assert "onnx not installed" in sentence
    assert "hifigan-cli[onnx]" in sentence
    with pytest.raises(UsageError, match="not installed"):
        engine_of(lively_net(TINY))


def test_other_precisions_are_refused() -> None:
    """The engine computes in float32, and does not pretend otherwise."""
    with pytest.raises(UsageError, match="no bf16"):
        OnnxEngine(model_of(lively_net(TINY)), precision="bf16")


def test_out_of_memory_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guard the halving of chunks, which waits for our error, which onnxruntime has not."""
    from onnxruntime.capi import onnxruntime_pybind11_state as raised

    ready = engine_of(lively_net(TINY))
    for error in (raised.Fail, raised.RuntimeException):

        def full(*_: object, error: type[Exception] = error) -> None:
            raise error("[ONNXRuntimeError] : 6 : Status Message: std::bad_alloc")

        monkeypatch.setattr(ready, "_session", type("Session", (), {"run": full}))
        with pytest.raises(DeviceError, match="out of memory in onnxruntime: std::bad_alloc"):
            ready.synthesize(noise_mel(1, 80, 20))
