"""`hifigan bench`: engines, processes and training steps, measured with few rounds."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from hifigan_cli.cli.main import run as command
from hifigan_cli.config import Config
from hifigan_cli.errors import InputError
from tests.helpers import hifigan
from tests.training import small


def bench(*arguments: str | Path, timeout_s: float = 120) -> dict[str, Any]:
    """Run a measurement and return its only JSON object."""
    run = hifigan("bench", *arguments, "--json", timeout_s=timeout_s)
    assert run.returncode == 0, run.stderr
    (line,) = (json.loads(text) for text in run.stdout.splitlines())
    assert isinstance(line, dict)
    return line


def test_help_names_both_measurements() -> None:
    """`hifigan bench --help` lists the options of synthesis and names `hifigan bench train`."""
    run = hifigan("bench", "--help")
    assert run.returncode == 0
    assert "--lengths" in run.stdout
    assert "train" in run.stdout


def test_synthesis_measurements_are_consistent(model: Path) -> None:
    """The measurements of each engine and length agree with each other and with `eager`."""
    pytest.importorskip("onnxruntime")
    line = bench(
        *("-m", model, "--engines", "onnx,torch", "--lengths", "0.3,25"),
        *("--rounds", "2", "--threads", "1", "--no-memory", "--device", "cpu"),
    )
    assert (line["schema"], line["event"], line["threads"], line["rounds"]) == (1, "bench", 1, 2)
    assert set(line["peak_gflop_per_s"]) == {"fp32", "bf16"}
    assert line["machine"]["versions"]["torch"]
    assert line["device"] == "cpu"
    assert 0 < line["cpu_share"] <= 1
    measurements = line["measurements"]
    names = [("eager", "fp32"), ("onnx", "fp32"), ("torch", "fp32"), ("torch", "bf16")]
    assert [(row["engine"], row["precision"]) for row in measurements] == names * 2
    assert [row["length_s"] for row in measurements] == [0.3] * 4 + [25] * 4
    for row in measurements:
        eager = next(other for other in measurements if other["length_s"] == row["length_s"])
        assert (row["weights"], row["batch"]) == ("trained", 1)
        assert row["ratio"] == pytest.approx(eager["median_s"] / row["median_s"])
        factor = row["length_s"] / row["median_s"]
        assert row["times_real_time"] == pytest.approx(factor, rel=0.1)
        assert 0 < row["fastest_s"] <= row["median_s"]
        assert 0 < row["flops_utilization"] < 1
        assert row["memory_mb"] is None
        assert (row["snr_db"] > 100) == (row["precision"] == "fp32")
        assert row["snr_db"] > 20


def test_batch_sizes(model: Path) -> None:
    """All signals of a batch count for the speed, and the precision does not suffer."""
    measurements = bench(
        *("-m", model, "--engines", "torch", "--lengths", "2", "--batch-sizes", "1,3"),
        *("--rounds", "1", "--threads", "1", "--no-memory"),
    )["measurements"]
    assert [row["batch"] for row in measurements] == [1] * 3 + [3] * 3
    for row in measurements:
        factor = row["batch"] * row["length_s"] / row["median_s"]
        assert row["times_real_time"] == pytest.approx(factor, rel=0.1)
        assert (row["snr_db"] > 100) == (row["precision"] == "fp32")


def test_table_without_json(model: Path) -> None:
    """Without --json, stdout has a table and stderr describes the machine."""
    run = hifigan(
        *("bench", "-m", model, "-m", "v3", "--engines", "torch", "--lengths", "0.2"),
        *("--rounds", "1", "--threads", "1", "--no-memory"),
    )
    assert run.returncode == 0, run.stderr
    head, *rows = run.stdout.splitlines()
    assert head.split()[:6] == ["model", "s", "engine", "x", "real", "time"]
    assert [row.split()[2] for row in rows if row.strip()] == ["eager", "torch", "torch"] * 2
    assert "random weights: v3" in run.stderr
    assert "1 of" in run.stderr


def test_memory_is_measured(model: Path) -> None:
    """On Linux, every row has the peak memory of a separate process."""
    line = bench("-m", model, "--engines", "onnx", "--lengths", "3", "--rounds", "1")
    memories_mb = [row["memory_mb"] for row in line["measurements"]]
    if sys.platform == "linux":
        assert all(0 < memory_mb < 1000 for memory_mb in memories_mb)


def test_speech_option(model: Path, wav: Path) -> None:
    """--speech replaces the bundled recording; a file that is not audio fails with 3."""
    common = ("-m", model, "--engines", "torch", "--lengths", "2", "--rounds", "1")
    lines = [bench(*common, *speech, "--no-memory") for speech in (("--speech", wav), ())]
    snrs = [[row["snr_db"] for row in line["measurements"]] for line in lines]
    assert snrs[0] != snrs[1]
    assert hifigan("bench", *common, "--speech", model).returncode == 3


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (("--engines", "onxx"), "onnx"),
        (("--lengths", "5,x"), "--lengths 5,x"),
        (("--lengths", "0"), "--lengths 0"),
        (("--batch-sizes", "1,0"), "1024"),
    ],
)
def test_usage_errors(arguments: tuple[str, ...], fact: str) -> None:
    """Unknown engines and impossible lengths are exit code 2, before any measurement."""
    run = hifigan("bench", "-m", "v3", *arguments)
    assert run.returncode == 2
    assert fact in run.stderr


def test_batch_size_of_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The default batch size is 2; one that is smaller than micro_batches is a usage error."""
    batch_sizes: list[int] = []

    def measure_training(config: Config, *_: object) -> None:
        batch_sizes.append(config.train.batch_size)
        raise InputError("measured")

    monkeypatch.setattr("hifigan_cli.benchmarks.training.measure_training", measure_training)
    for options in ((), ("--set", "batch_size=5"), ("--batch-size", "3", "--set", "batch_size=5")):
        assert command(["bench", "train", "--device", "cpu", *options]) == 3
    assert batch_sizes == [2, 5, 3]
    assert command(["bench", "train", "--device", "cpu", "--set", "micro_batches=3"]) == 2
    assert "--batch-size" in capsys.readouterr().err


def test_cold_starts_are_measured(model: Path) -> None:
    """--cold-start measures complete `resynth` processes of one engine and of `eager`."""
    line = bench("--cold-start", "-m", model, "--engines", "onnx", "--rounds", "1", timeout_s=200)
    assert (line["event"], line["length_s"]) == ("bench_cold", 5)
    eager, onnx = line["measurements"]
    assert (eager["engine"], onnx["engine"]) == ("eager", "onnx")
    assert onnx["ratio"] == pytest.approx(eager["median_s"] / onnx["median_s"])
    assert 0.05 < onnx["fastest_s"] <= onnx["median_s"]


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "names"), [("--fp32", ["reference", "optimized fp32"])])
def test_training_measurements_are_consistent(precision: str, names: list[str]) -> None:
    """The speeds agree with the ratio, and the gradients of both steps are equal."""
    run = small.run(
        *("bench", "train", precision, "--steps", "2", "--threads", "1", "--json"),
        *small.arguments(batch_size=2, segment_size=8192),
    )
    assert run.returncode == 0, run.stderr
    (line,) = (json.loads(text) for text in run.stdout.splitlines())
    assert (line["schema"], line["event"], line["threads"]) == (1, "bench_train", 1)
    assert [step["name"] for step in line["steps"]] == names
    reference, optimized = line["steps"]
    assert optimized["ratio"] == pytest.approx(reference["step_s"] / optimized["step_s"])
    assert optimized["gflop"] < reference["gflop"]
    assert 0 < optimized["flops_utilization"] < 1
    assert line["gradient_difference"] < 1e-3
