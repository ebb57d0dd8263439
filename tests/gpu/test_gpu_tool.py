"""`tests.tools.gpu` on the CPU, at tiny size: its parts, time limits and failures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hifigan_cli.models.model_file import read_model, write_model
from tests.helpers import ROOT
from tests.models_for_tests import TINY, tiny_model
from tests.tools.gpu import vocoder
from tests.tools.gpu.__main__ import run_all
from tests.tools.gpu.parts import PYTHON, Part, PartOptions, last_json


def run_gpu_tool(*arguments: str | Path) -> None:
    """Run `python -m tests.tools.gpu` to its end."""
    command = [sys.executable, "-m", "tests.tools.gpu", *map(str, arguments)]
    run = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert run.returncode == 0, run.stderr


def report(out: Path) -> dict[str, dict[str, Any]]:
    """Return the results of the parts in gpu.json, by name."""
    content = json.loads((out / "gpu.json").read_text("utf-8"))
    assert content["machine"]["torch"]
    return {part["part"]: part for part in content["parts"]}


@pytest.mark.slow
def test_every_part_runs(packed: Path, tmp_path: Path) -> None:
    """Every part stores its result; a, b and c measure this machine."""
    out = tmp_path / "out"
    options = ("--tiny", "--device", "cpu", "--workers", "1", "--minutes", "4")
    run_gpu_tool(out, "--data", packed, *options, "--extra=--unfiltered --steps 12")
    parts = report(out)
    assert all(part["exit_code"] == 0 for part in parts.values()), parts
    assert {name[0] for name in parts} == set("abcd")
    outcomes = {case["outcome"] for case in parts["a correctness"]["result"]}
    assert outcomes == {"passed"}
    measurements = parts["b synthesis"]["result"]["measurements"]
    assert {each["batch"] for each in measurements} == {2}
    steps = {step["name"]: step for step in parts["c steps"]["result"]["steps"]}
    assert steps["reference"]["ratio"] == 1
    for name in ("b profile", "c profile"):
        forms = parts[name]["result"]["forms"].values()
        assert all(form["wall_ms"] > 0 and form["top"] for form in forms)
    assert parts["d restorer"]["result"]["restored_l1"] > 0
    assert (out / "restorer.safetensors").stat().st_size < 16 * 2**20
    assert "hifigan bench" in parts["b synthesis"]["command"]
    assert not any(str(tmp_path) in part["command"] for part in parts.values())


def part(name: str, code: str, limit_s: float = 30, **options: Any) -> Part:
    """Return a part that runs Python code."""
    return Part(name, lambda _seconds: [PYTHON, "-c", code], limit_s, last_json, **options)


def test_time_is_reserved_for_the_last_part(tmp_path: Path) -> None:
    """Earlier parts use only the remaining time; a part that needs more is skipped."""
    succeed = "print('{\"ok\": 1}')"
    parts = [
        part("c short", succeed),
        part("c long", succeed, min_s=50),
        part("d", succeed, min_s=60, reserved=True),
    ]
    run_all(parts, PartOptions(tmp_path, None, "cpu", tiny=True), budget_s=100)
    results = report(tmp_path)
    assert results["c short"]["exit_code"] == results["d"]["exit_code"] == 0
    assert "skipped" in results["c long"]


def test_failing_and_hanging_parts_do_not_stop_the_next(tmp_path: Path) -> None:
    """A hanging part is stopped with its children; the next part runs if there is time."""
    hang = "import time, sys; print('{\"started\": 1}', flush=True); time.sleep(60)"
    parts = [
        part("a fails", "raise SystemExit(3)"),
        part("b hangs", hang, limit_s=10),
        part("c works", "print('{\"ok\": 1}')"),
        part("d late", "print('{\"ok\": 1}')"),
    ]
    run_all(parts[:3], PartOptions(tmp_path, None, "cpu", tiny=True), budget_s=60)
    results = report(tmp_path)
    assert results["a fails"]["exit_code"] == 3
    assert results["b hangs"]["stopped_at_limit"]
    assert results["b hangs"]["seconds"] < 12
    assert results["b hangs"]["result"] == {"started": 1}  # printed before it was stopped
    assert results["c works"]["result"] == {"ok": 1}
    run_all(parts[3:], PartOptions(tmp_path, None, "cpu", tiny=True), budget_s=5)
    assert "skipped" in report(tmp_path)["d late"]
    log = (tmp_path / "log.txt").read_text("utf-8")
    assert log.count("## ") == 3


@pytest.mark.slow
def test_vocoder_part(packed: Path, tmp_path: Path) -> None:
    """Fine-tuning on pairs from the restorer writes a model in parts, and logs metrics."""
    data = tmp_path / "data"
    data.mkdir()
    for path in packed.iterdir():
        (data / path.name).write_bytes(path.read_bytes())
    write_model(data / vocoder.MODEL_FILE, tiny_model())
    settings = {**TINY.model_dump(), "steps": 4, "batch_size": 2, "discriminator_width": 0.125}
    settings |= {"segment_size": 4096, "validation_clips": 1, "log_every": 1}
    arguments = ["--data", str(data), "--minutes", "2.5", "--render-minutes", "0.1"]
    arguments += ["--device", "cpu", "--workers", "1", "--unfiltered"]
    for key, value in settings.items():
        if not isinstance(value, dict):
            arguments += ["--set", f"{key}={str(value).replace('(', '[').replace(')', ']')}"]
    vocoder.main([str(tmp_path / "out"), *arguments])
    content = b"".join(p.read_bytes() for p in sorted((tmp_path / "out").glob("model.part*")))
    (tmp_path / "model.safetensors").write_bytes(content)
    tuned, before = read_model(tmp_path / "model.safetensors"), tiny_model()
    name = next(iter(before.weights))
    assert (tuned.weights[name] != before.weights[name]).any()
    lines = (tmp_path / "out" / vocoder.LOG_FILE).read_text("utf-8").splitlines()
    assert any(json.loads(line)["event"] == "train" for line in lines)
