"""`hifigan bench`: engines against the plain forward, processes, and training steps; few rounds."""

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


def bench(*words: str | Path, timeout_s: float = 120) -> dict[str, Any]:
    """Return the one line of JSON of a measurement."""
    run = hifigan("bench", *words, "--json", timeout_s=timeout_s)
    assert run.returncode == 0, run.stderr
    (line,) = (json.loads(text) for text in run.stdout.splitlines())
    assert isinstance(line, dict)
    return line


def test_help_names_both_measurements() -> None:
    """`hifigan bench --help` explains the measurement of synthesis, and where training's is."""
    run = hifigan("bench", "--help")
    assert run.returncode == 0
    assert "--lengths" in run.stdout
    assert "train" in run.stdout


def test_synthesis_is_measured(model: Path) -> None:
    """Each engine and length has figures that agree with each other; the yardstick's ratio is 1."""
    pytest.importorskip("onnxruntime")
    line = bench(
        *("-m", model, "--engines", "onnx,torch", "--lengths", "0.3,25"),
        *("--rounds", "2", "--threads", "1", "--no-memory", "--device", "cpu"),
    )
    assert (line["schema"], line["event"], line["threads"], line["rounds"]) == (1, "bench", 1, 2)
    assert set(line["peak_gflop_per_s"]) == {"fp32", "bf16"}
    assert line["machine"]["versions"]["torch"]
    assert line["device"] == "cpu"
    assert 0 < line["processor_share"] <= 1
    figures = line["figures"]
    names = [("eager", "fp32"), ("onnx", "fp32"), ("torch", "fp32"), ("torch", "bf16")]
    assert [(each["engine"], each["precision"]) for each in figures] == names * 2
    assert [each["length_s"] for each in figures] == [0.3] * 4 + [25] * 4
    for each in figures:
        plain = next(e for e in figures if e["length_s"] == each["length_s"])
        assert (each["weights"], each["batch"]) == ("trained", 1)
        assert each["ratio"] == pytest.approx(plain["median_s"] / each["median_s"])
        factor = each["length_s"] / each["median_s"]
        assert each["real_time_factor"] == pytest.approx(factor, rel=0.1)
        assert 0 < each["fastest_s"] <= each["median_s"]
        assert 0 < each["peak_share"] < 1
        assert each["memory_mb"] is None
        assert (each["snr_db"] > 100) == (each["precision"] == "fp32")
        assert each["snr_db"] > 20


def test_batches_are_measured(model: Path) -> None:
    """Several signals at once: each counts, and the first one's samples are as exact as alone."""
    figures = bench(
        *("-m", model, "--engines", "torch", "--lengths", "2", "--batch", "1,3"),
        *("--rounds", "1", "--threads", "1", "--no-memory"),
    )["figures"]
    assert [each["batch"] for each in figures] == [1] * 3 + [3] * 3
    for each in figures:
        made_s = each["batch"] * each["length_s"]
        assert each["real_time_factor"] == pytest.approx(made_s / each["median_s"], rel=0.1)
        assert (each["snr_db"] > 100) == (each["precision"] == "fp32")


def test_a_table_for_people(model: Path) -> None:
    """Without --json stdout holds a table; what it was measured on is on stderr."""
    run = hifigan(
        *("bench", "-m", model, "-m", "v3", "--engines", "torch", "--lengths", "0.2"),
        *("--rounds", "1", "--threads", "1", "--no-memory"),
    )
    assert run.returncode == 0, run.stderr
    head, *rows = run.stdout.splitlines()
    assert head.split()[:4] == ["model", "s", "engine", "RTF"]
    assert [row.split()[2] for row in rows if row.strip()] == ["plain", "torch", "torch"] * 2
    assert "of random weights: v3" in run.stderr
    assert "1 of" in run.stderr


def test_memory_is_measured(model: Path) -> None:
    """Every figure has it where the system tells, in a process that only does this."""
    line = bench("-m", model, "--engines", "onnx", "--lengths", "3", "--rounds", "1")
    memories = [each["memory_mb"] for each in line["figures"]]
    if sys.platform == "linux":
        assert all(0 < each < 1000 for each in memories)


def test_a_recording_of_the_user_is_taken(model: Path, wav: Path) -> None:
    """--speech measures on another recording; what is no audio is exit code 3."""
    common = ("-m", model, "--engines", "torch", "--lengths", "2", "--rounds", "1")
    lines = [bench(*common, *speech, "--no-memory") for speech in (("--speech", wav), ())]
    snrs = [[each["snr_db"] for each in line["figures"]] for line in lines]
    assert snrs[0] != snrs[1]
    assert hifigan("bench", *common, "--speech", model).returncode == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--engines", "onxx"), "onnx"),
        (("--lengths", "5,x"), "not a list of numbers"),
        (("--lengths", "0"), "above 0"),
        (("--batch", "1,0"), "above 0, up to 1024"),
    ],
)
def test_usage(arguments: tuple[str, ...], words: str) -> None:
    """Unknown engines and impossible lengths are exit code 2, before anything is measured."""
    run = hifigan("bench", "-m", "v3", *arguments)
    assert run.returncode == 2
    assert words in run.stderr


def test_settings_of_training_steps_are_heeded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The batch is 2 unless something says otherwise; one that cannot be cut is refused."""
    asked: list[int] = []

    def measured(config: Config, *_: object) -> None:
        asked.append(config.train.batch_size)
        raise InputError("seen")

    monkeypatch.setattr("hifigan_cli.benchmarks.training.measure_training", measured)
    for words in ((), ("--set", "batch_size=5"), ("--batch", "3", "--set", "batch_size=5")):
        assert command(["bench", "train", "--device", "cpu", *words]) == 3
    assert asked == [2, 5, 3]
    assert command(["bench", "train", "--device", "cpu", "--set", "accumulate=3"]) == 2
    assert "cannot be cut in 3 pieces" in capsys.readouterr().err


def test_cold_starts_are_measured(model: Path) -> None:
    """Whole processes of resynth, one engine beside the plain way."""
    line = bench("--cold", "-m", model, "--engines", "onnx", "--rounds", "1", timeout_s=200)
    assert (line["event"], line["length_s"]) == ("bench_cold", 5)
    plain, onnx = line["figures"]
    assert (plain["engine"], onnx["engine"]) == ("eager", "onnx")
    assert onnx["ratio"] == pytest.approx(plain["median_s"] / onnx["median_s"])
    assert 0.05 < onnx["fastest_s"] <= onnx["median_s"]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "names"), [("--fp32", ["reference", "fast fp32"])])
def test_both_steps_are_measured(kind: str, names: list[str]) -> None:
    """One JSON object: each step's speed agrees with its ratio, and the gradients are equal."""
    run = small.run(
        *("bench", "train", kind, "--steps", "2", "--threads", "1", "--json"),
        *small.arguments(batch_size=2, segment_size=8192),
    )
    assert run.returncode == 0, run.stderr
    (line,) = (json.loads(text) for text in run.stdout.splitlines())
    assert (line["schema"], line["event"], line["threads"]) == (1, "bench_train", 1)
    assert [step["name"] for step in line["steps"]] == names
    reference, fast = line["steps"]
    assert fast["ratio"] == pytest.approx(reference["step_s"] / fast["step_s"])
    assert fast["gflop"] < reference["gflop"]
    assert 0 < fast["peak_share"] < 1
    assert line["gradient_difference"] < 1e-3
