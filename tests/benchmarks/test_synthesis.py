"""The synthesis benchmark: operations, models, engines and memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hifigan_cli.benchmarks.flops import synthesis_flop
from hifigan_cli.benchmarks.variants import (
    EAGER,
    EngineVariant,
    build_synthesizer,
    find_benchmark_model,
    find_variants,
    measure_memory_mb,
    random_model,
    synthesize_float64,
)
from hifigan_cli.config import PRESETS
from hifigan_cli.errors import UsageError
from hifigan_cli.models import write_model
from tests.models_for_tests import tiny_model, write_tiny_model


@pytest.mark.parametrize("preset", ["v1", "v2", "v3"])
def test_flop_count_equals_torch(preset: str) -> None:
    """The paper's V1 needs 26.45 G multiplications per second of audio."""
    config = PRESETS[preset]
    model = random_model(config)
    with torch.device("meta"):
        mel = torch.zeros(1, 80, 11)
    with FlopCounterMode(display=False) as counter:
        model.build().to("meta")(mel)
    expected = counter.get_total_flops()
    assert synthesis_flop(config.generator, 80, 11) == expected
    if preset == "v1":
        per_second = synthesis_flop(config.generator, 80, 1) * 22_050 / 256 / 2
        assert per_second == pytest.approx(26.45e9, rel=1e-3)


@pytest.mark.parametrize("preset", ["v1", "v2", "v3"])
@pytest.mark.parametrize("seed", [0, 1])
def test_random_weights_are_as_loud_as_speech(preset: str, seed: int) -> None:
    """Near silence or at full scale, errors of an engine would not show."""
    model = random_model(PRESETS[preset], seed)
    mel = np.random.default_rng(seed).normal(-5, 2, (1, 80, 20)).astype(np.float32)
    samples = synthesize_float64(model, mel)
    assert 0.05 < samples.std() < 0.8


def test_engines_match_double_precision() -> None:
    """The mel is long enough for several chunks of each engine."""
    model = tiny_model()
    mel = np.random.default_rng(0).normal(-5, 2, (1, 80, 1500)).astype(np.float32)
    exact = synthesize_float64(model, mel)
    variants, _ = find_variants(None)
    assert EngineVariant("torch", "bf16") in variants
    for variant in (EAGER, *variants):
        tolerance = 1e-4 if variant.precision == "fp32" else 0.1
        samples = build_synthesizer(variant, model, 1)(mel)
        np.testing.assert_allclose(samples, exact, atol=tolerance, err_msg=variant.title)


def test_only_torch_runs_on_a_gpu() -> None:
    """The other engines are reported as unavailable; torch also runs in half precision."""
    variants, unavailable = find_variants(None, "cuda:0")
    assert variants == [EngineVariant("torch", precision) for precision in ("fp32", "bf16", "fp16")]
    assert unavailable.keys() == {"onnx", "native"}
    assert all("cuda:0" in reason for reason in unavailable.values())
    with pytest.raises(UsageError, match=r"native.*cuda:0"):
        find_variants(["native"], "cuda:0")


def test_unknown_engine_is_an_error() -> None:
    with pytest.raises(UsageError, match="natve") as caught:
        find_variants(["natve"])
    assert "native" in (caught.value.hint or "")


def test_memory_grows_with_the_mel(tmp_path: Path) -> None:
    """The eager engine needs more memory for a longer mel."""
    path = write_tiny_model(tmp_path / "tiny.safetensors")
    mel = np.zeros((1, 80, 1000), np.float32)
    short, long = (measure_memory_mb(EAGER, path, np.repeat(mel, n, 2), 1) for n in (1, 12))
    if short is None or long is None:
        pytest.skip("needs Linux")
    # A stage with 16 channels needs at least 1 MB per thousand samples.
    assert 1 < short < long
    assert long - short > 12e3 * 256 * 4 * 4 / 1e6


def test_benchmark_model_is_a_preset_or_a_file(tmp_path: Path) -> None:
    """A preset has fixed random weights; a model file has trained ones."""
    first, second = find_benchmark_model("v3"), find_benchmark_model("v3")
    assert first.weights == "random"
    np.testing.assert_array_equal(
        first.model.weights["conv_pre.weight"], second.model.weights["conv_pre.weight"]
    )
    write_model(tmp_path / "m.safetensors", tiny_model())
    assert find_benchmark_model(str(tmp_path / "m.safetensors")).weights == "trained"
