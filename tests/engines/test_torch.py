"""The torch engines: the eager forward pass, and its optimized form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hifigan_cli.config import PRESETS, GeneratorConfig
from hifigan_cli.engines.torch import EagerEngine, TorchEngine
from hifigan_cli.errors import DeviceError, UsageError
from hifigan_cli.types import FloatArray
from tests.models_for_tests import TINY, loud_model


def mel_of(batch: int, frames: int, seed: int = 0, n_mels: int = 80) -> FloatArray:
    """Draw a log-mel with about the levels of speech."""
    noise = np.random.default_rng(seed).standard_normal((batch, n_mels, frames))
    return (2 * noise - 5).astype(np.float32)


def snr_db(output: FloatArray, expected: FloatArray) -> float:
    power = np.mean((output - expected) ** 2.0)
    return float(10 * np.log10(np.mean(expected**2.0) / max(power, 1e-30)))


def test_eager_equals_the_generator() -> None:
    """The reference engine returns the same bits as the generator of `ModelFile.build`."""
    model, mel = loud_model(TINY), mel_of(2, 40)
    engine = EagerEngine(model)
    with torch.no_grad():
        expected = model.build()(torch.from_numpy(mel))[:, 0].numpy()
    assert np.array_equal(engine.synthesize(mel), expected)
    with pytest.raises(UsageError, match="bf16"):
        EagerEngine(model, "bf16")


@settings(max_examples=8)
@given(
    resblock=st.sampled_from([1, 2]),
    slope=st.sampled_from([0.1, 0.2]),
    padding=st.sampled_from(["zeros", "reflect"]),
    batch=st.integers(1, 3),
    frames=st.integers(8, 50),
    seed=st.integers(0, 9),
)
def test_torch_equals_eager(
    resblock: int, slope: float, padding: str, batch: int, frames: int, seed: int
) -> None:
    """The Conv2d form equals the Conv1d form, also for variants of other tools."""
    config = GeneratorConfig.model_validate(
        {
            "resblock": resblock,
            "upsample_rates": (4, 8),
            "upsample_kernel_sizes": (8, 16),
            "upsample_initial_channel": 16,
            "resblock_kernel_sizes": (3, 5),
            "resblock_dilation_sizes": ((1, 3), (2, 1)),
            "variant": {"slope": slope, "conv_padding": padding},
        }
    )
    model, mel = loud_model(config, seed=seed), mel_of(batch, frames, seed)
    expected = EagerEngine(model).synthesize(mel)
    output = TorchEngine(model).synthesize(mel)
    assert output.shape == expected.shape
    assert snr_db(output, expected) > 110


@pytest.mark.parametrize("preset", ["v1", "v2", "v3"])
def test_presets_agree_with_eager(preset: str) -> None:
    """The paper's networks agree with eager within the rounding of float32 and of bf16."""
    model, mel = loud_model(PRESETS[preset].generator), mel_of(1, 40)
    expected = EagerEngine(model).synthesize(mel)
    assert snr_db(TorchEngine(model).synthesize(mel), expected) > 105
    half = TorchEngine(model, "bf16")
    assert half.precision == "bf16"
    assert 25 < snr_db(half.synthesize(mel), expected) < 60


def test_unsupported_precision_is_rejected() -> None:
    """The engine rejects half precision on a CPU, and unknown names."""
    for precision in ("fp16", "int8"):
        with pytest.raises(UsageError, match=f"{precision} on cpu"):
            TorchEngine(loud_model(TINY), precision)


def test_out_of_memory_raises_device_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks are halved only after a DeviceError."""
    engine = TorchEngine(loud_model(TINY))

    def full(_mel: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(engine._net, "forward", full)
    with pytest.raises(DeviceError, match="CUDA out of memory") as caught:
        engine.synthesize(mel_of(1, 4))
    assert "--chunk" in (caught.value.hint or "")


def test_threads_are_set() -> None:
    """The engine sets torch's number of threads."""
    before = torch.get_num_threads()
    try:
        model = loud_model(TINY)
        TorchEngine(model, threads=3)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_float32_on_a_gpu_uses_conv1d(monkeypatch: pytest.MonkeyPatch) -> None:
    """Conv1d and Conv2d return the same samples; in float32 CUDA uses Conv1d."""
    model, mel = loud_model(TINY), mel_of(2, 40)
    conv2d_engine = TorchEngine(model)
    calls: list[object] = []

    def record(self: torch.nn.Module, *to: object, **_kwargs: object) -> torch.nn.Module:
        calls.append(to)
        return self

    monkeypatch.setattr(torch.nn.Module, "to", record)  # there may be no such device
    conv1d_engine = TorchEngine(model, device="cuda")
    monkeypatch.undo()
    assert [(torch.device("cuda"),), (torch.float32,)] == calls
    assert not any(isinstance(module, torch.nn.Conv2d) for module in conv1d_engine._net.modules())
    assert any(isinstance(module, torch.nn.Conv2d) for module in conv2d_engine._net.modules())
    conv1d_engine._device, conv1d_engine._run = torch.device("cpu"), conv1d_engine._net
    assert snr_db(conv1d_engine.synthesize(mel), conv2d_engine.synthesize(mel)) > 110
