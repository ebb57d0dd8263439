"""The torch engines: the plain forward pass, and the tuned form of it."""

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
    """Make a log-mel of about the levels of speech."""
    noise = np.random.default_rng(seed).standard_normal((batch, n_mels, frames))
    return (2 * noise - 5).astype(np.float32)


def snr_db(made: FloatArray, expected: FloatArray) -> float:
    power = np.mean((made - expected) ** 2.0)
    return float(10 * np.log10(np.mean(expected**2.0) / max(power, 1e-30)))


def test_eager_is_the_plain_forward() -> None:
    """Guard the yardstick: bit by bit the generator that `ModelFile.build` makes."""
    model, mel = loud_model(TINY), mel_of(2, 40)
    engine = EagerEngine(model)
    with torch.no_grad():
        expected = model.build()(torch.from_numpy(mel))[:, 0].numpy()
    assert np.array_equal(engine.synthesize(mel), expected)
    with pytest.raises(UsageError, match="no bf16"):
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
def test_tuned_equals_eager(
    resblock: int, slope: float, padding: str, batch: int, frames: int, seed: int
) -> None:
    """Guard the 2-D form, with the variants of other tools too: within 120 dB."""
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
    made = TorchEngine(model).synthesize(mel)
    assert made.shape == expected.shape
    assert snr_db(made, expected) > 110


@pytest.mark.parametrize("preset", ["v1", "v2", "v3"])
def test_presets(preset: str) -> None:
    """Guard the paper's networks: float32 to its rounding, bf16 to what it holds."""
    model, mel = loud_model(PRESETS[preset].generator), mel_of(1, 40)
    expected = EagerEngine(model).synthesize(mel)
    assert snr_db(TorchEngine(model).synthesize(mel), expected) > 105
    half = TorchEngine(model, "bf16")
    assert half.precision == "bf16"
    assert 25 < snr_db(half.synthesize(mel), expected) < 60


def test_what_there_is_not() -> None:
    """Guard the choice of precision: half precision without the hardware, and unknown names."""
    for precision in ("fp16", "int8"):
        with pytest.raises(UsageError, match=f"no {precision} on cpu"):
            TorchEngine(loud_model(TINY), precision)


def test_out_of_memory_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guard the halving of chunks, which waits for our error."""
    engine = TorchEngine(loud_model(TINY))

    def full(_mel: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(engine._net, "forward", full)
    with pytest.raises(DeviceError, match="out of memory"):
        engine.synthesize(mel_of(1, 4))


def test_threads_are_set() -> None:
    """Guard --threads for torch: it is the number that its kernels use."""
    before = torch.get_num_threads()
    try:
        model = loud_model(TINY)
        TorchEngine(model, threads=3)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_float32_on_a_gpu_keeps_the_plain_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The samples are the same in either order; in float32 CUDA has the plain one."""
    model, mel = loud_model(TINY), mel_of(2, 40)
    wide = TorchEngine(model)
    moved: list[object] = []

    def stay(self: torch.nn.Module, *to: object, **_kwargs: object) -> torch.nn.Module:
        moved.append(to)
        return self

    monkeypatch.setattr(torch.nn.Module, "to", stay)  # there is no such device here
    narrow = TorchEngine(model, device="cuda")
    monkeypatch.undo()
    assert [(torch.device("cuda"),), (torch.float32,)] == moved
    assert not any(isinstance(each, torch.nn.Conv2d) for each in narrow._net.modules())
    assert any(isinstance(each, torch.nn.Conv2d) for each in wide._net.modules())
    narrow._device, narrow._run = torch.device("cpu"), narrow._net
    assert snr_db(narrow.synthesize(mel), wide.synthesize(mel)) > 110
