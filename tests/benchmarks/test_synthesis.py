"""What the measurement of synthesis counts and takes is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hifigan_cli.benchmarks.contenders import (
    YARDSTICK,
    Contender,
    exact_samples,
    find_contenders,
    find_subject,
    make_synthesis,
    memory_mb,
    random_model,
)
from hifigan_cli.benchmarks.flops import synthesis_flop
from hifigan_cli.config import PRESETS
from hifigan_cli.errors import UsageError
from hifigan_cli.models import write_model
from tests.models_for_tests import tiny_model, write_tiny_model


@pytest.mark.parametrize("preset", ["v1", "v2", "v3"])
def test_operations_are_those_that_torch_counts(preset: str) -> None:
    """The share of the peak rests on it; the paper's V1 is 26.45 G products a second of audio."""
    config = PRESETS[preset]
    model = random_model(config)
    with torch.device("meta"):
        mel = torch.zeros(1, 80, 11)
    with FlopCounterMode(display=False) as counter:
        model.build().to("meta")(mel)
    expected = counter.get_total_flops()
    assert synthesis_flop(config.generator, 80, 11) == expected
    if preset == "v1":
        a_second = synthesis_flop(config.generator, 80, 1) * 22_050 / 256 / 2
        assert a_second == pytest.approx(26.45e9, rel=1e-3)


@pytest.mark.parametrize("preset", ["v1", "v2", "v3"])
@pytest.mark.parametrize("seed", [0, 1])
def test_random_weights_speak_up(preset: str, seed: int) -> None:
    """Their waveform is neither near silence nor at full scale, where errors would not show."""
    model = random_model(PRESETS[preset], seed)
    mel = np.random.default_rng(seed).normal(-5, 2, (1, 80, 20)).astype(np.float32)
    samples = exact_samples(model, mel)
    assert 0.05 < samples.std() < 0.8


def test_contenders_make_the_plain_samples() -> None:
    """In chunks of their own length, over several of them, each makes what the yardstick makes."""
    model = tiny_model()
    mel = np.random.default_rng(0).normal(-5, 2, (1, 80, 1500)).astype(np.float32)
    exact = exact_samples(model, mel)
    contenders, _ = find_contenders(None)
    assert Contender("torch", "bf16") in contenders
    for contender in (YARDSTICK, *contenders):
        tolerance = 1e-4 if contender.precision == "fp32" else 0.1
        found = make_synthesis(contender, model, 1)(mel)
        np.testing.assert_allclose(found, exact, atol=tolerance, err_msg=contender.title)


def test_on_a_gpu_torch_alone_runs() -> None:
    """The engines of the CPU are left out there, and say so; half precision comes in."""
    found, lacking = find_contenders(None, "cuda:0")
    assert found == [Contender("torch", precision) for precision in ("fp32", "bf16", "fp16")]
    assert lacking == dict.fromkeys(("onnx", "native"), "it runs on the CPU, not on cuda:0")
    with pytest.raises(UsageError, match="not on cuda:0"):
        find_contenders(["native"], "cuda:0")


def test_unknown_engines_are_refused() -> None:
    """A mistyped engine is named, with what it may have meant."""
    with pytest.raises(UsageError) as caught:
        find_contenders(["natve"])
    assert caught.value.hint == "did you mean native?"


def test_memory_is_that_of_the_work(tmp_path: Path) -> None:
    """A whole mel four times as long takes the plain forward more memory; a name is no matter."""
    path = write_tiny_model(tmp_path / "tiny.safetensors")
    mel = np.zeros((1, 80, 1000), np.float32)
    short, long = (memory_mb(YARDSTICK, path, np.repeat(mel, n, 2), 1) for n in (1, 12))
    if short is None or long is None:
        pytest.skip("needs Linux")
    # A stage of 16 channels: 1 MB a thousand samples at the least.
    assert 1 < short < long
    assert long - short > 12e3 * 256 * 4 * 4 / 1e6


def test_a_subject_is_a_preset_or_a_model(tmp_path: Path) -> None:
    """Presets have random weights, the same each time; all else is a model, and says so."""
    first, second = find_subject("v3"), find_subject("v3")
    assert first.weights == "random"
    np.testing.assert_array_equal(
        first.model.weights["conv_pre.weight"], second.model.weights["conv_pre.weight"]
    )
    write_model(tmp_path / "m.safetensors", tiny_model())
    assert find_subject(str(tmp_path / "m.safetensors")).weights == "trained"
