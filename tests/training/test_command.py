"""The command `hifigan train`."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hifigan_cli.cli.main import run
from hifigan_cli.training.events import Logged
from hifigan_cli.training.run_folder import RunFolder
from tests.helpers import environment, hifigan
from tests.training import small
from tests.training.runs import checkpoint, differing_tensors


def train(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return hifigan("train", *arguments, cwd=cwd)


def test_json_output_has_an_object_per_event(prepared: Path, tmp_path: Path) -> None:
    """Check the JSON events of a run, with deterministic mode and bfloat16 on the CPU."""
    process = small.run(
        "train", prepared, "--out", tmp_path / "run", "--json", "--bf16", "--deterministic",
        "--seed", "3", *small.arguments(steps=2),
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    lines = [json.loads(line) for line in process.stdout.splitlines()]
    names = [line["event"] for line in lines]
    assert names == ["started", "validation", "train", "train", "validation", "saved", "finished"]
    assert all(line["schema"] == 1 for line in lines)
    assert lines[0]["precision"] == "bf16"
    assert set(Logged.__dataclass_fields__) - {"losses"} <= set(lines[2])
    assert lines[3]["mel"] > 0


def test_default_folders(tmp_path: Path) -> None:
    """Check that without paths ./prepared is read, and the run folder is ./runs/PRESET."""
    small.prepare(tmp_path / "prepared")
    process = train("--preset", "v3", "--dry-run", "--json", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    plan = json.loads(process.stdout)
    assert plan["run"] == "runs/v3"
    assert plan["generator_parameters"] == 1_464_322
    assert plan["discriminator_parameters"] == 41_105_770 + 29_618_821
    assert plan["steps"] == 2_500_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["prepared"]


@pytest.mark.parametrize(
    ("arguments", "code", "fact"),
    [
        (("nowhere",), 3, "hifigan preprocess"),
        (("x" * 300,), 3, "hifigan preprocess"),
        (("DATA", "--init", "."), 5, "model.safetensors"),
        (("DATA", "--gpu", "0"), 8, "--device auto"),
        (("DATA", "--set", "batchsize=4"), 2, "batch_size"),
        (("DATA", "--set", "sample_rate=24000"), 2, "24000"),
        (("DATA", "--set", "segment_size=1000"), 2, "hop_length"),
        (("DATA", "--preset", "v4"), 2, "v1"),
        (("DATA", "--init", "nothing.safetensors"), 5, "nothing.safetensors"),
        (("DATA", "--config", "absent.toml"), 2, "absent.toml"),
    ],
)
def test_errors_have_their_exit_code_and_facts(
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    fact: str,
) -> None:
    """Check exit code and message of wrong arguments (rows 49 and 50); no files are left."""
    monkeypatch.chdir(tmp_path)
    line = [str(prepared) if word == "DATA" else word for word in arguments]
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert run(["train", *line, "--out", "run"]) == code
    finally:
        signal.signal(signal.SIGTERM, before)
    output = capsys.readouterr()
    assert output.err.startswith("error:")
    assert fact in output.err
    assert output.out == ""
    assert not (tmp_path / "run").exists()


def test_too_long_folder_name_is_an_output_error(prepared: Path, tmp_path: Path) -> None:
    """Check a name that is too long, for which pathlib raises an OSError."""
    for force in ([], ["--force"]):
        out = str(tmp_path / ("x" * 300))
        assert run(["train", str(prepared), "--out", out, "--device", "cpu", *force]) == 4
    assert list(tmp_path.iterdir()) == []


def test_dry_run_prints_brackets_in_the_folder_name(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Check that rich does not interpret brackets in a path as markup."""
    out = tmp_path / "[v1]"
    assert run(["train", str(prepared), "--out", str(out), "--dry-run"]) == 0
    assert str(out) in capsys.readouterr().out
    assert not out.exists()


def test_folder_of_a_running_training_is_an_error(prepared: Path, tmp_path: Path) -> None:
    """Check that a second run on one folder exits with 4 and names the first (row 27)."""
    with RunFolder(tmp_path / "run").lock():
        process = train(prepared, "--out", tmp_path / "run")
    assert process.returncode == 4, process.stderr
    assert str(os.getpid()) in process.stderr


def test_live_view_on_a_terminal(prepared: Path, tmp_path: Path) -> None:
    """Check the live table: losses, speed, remaining time, validation."""
    reader, terminal = pty.openpty()
    arguments = ("train", prepared, "--out", tmp_path / "run", "--no-tensorboard")
    process = subprocess.Popen(
        small.command(*arguments, *small.arguments(steps=3)),
        env=environment({"COLUMNS": "120", "TERM": "xterm"}),
        stderr=terminal,
        stdout=subprocess.DEVNULL,
    )
    os.close(terminal)
    output = b""
    try:
        while block := os.read(reader, 65_536):
            output += block
    except OSError:  # the other end closed
        pass
    os.close(reader)
    assert process.wait(timeout=60) == 0
    for word in (b"3 of 3", b"steps/s", b"left", b"mel_l1_full", b"best", b"feature"):
        assert word in output
    assert b"3 steps" in output


@pytest.mark.slow
def test_full_size_discriminators_resume_exactly(prepared: Path, tmp_path: Path) -> None:
    """Check that 1 + 1 steps equal 2, with all CPU threads, and that `vocode` reads the model."""
    options = [*small.arguments(steps=2, batch_size=2), "--no-tensorboard", "--device", "cpu"]
    env = {"OMP_NUM_THREADS": str(os.cpu_count())}
    for name, *steps in (["uninterrupted"], ["resumed", "--steps", "1"], ["resumed"]):
        process = hifigan(
            "train", prepared, "--out", tmp_path / name, *options, *steps, env=env, timeout_s=280
        )
        assert process.returncode == 0, process.stderr
    assert (
        differing_tensors(
            checkpoint(tmp_path / "uninterrupted", 2), checkpoint(tmp_path / "resumed", 2)
        )
        == []
    )
    np.save(tmp_path / "mel.npy", np.full((80, 10), -4, np.float32))
    wav = tmp_path / "out.wav"
    process = hifigan("vocode", tmp_path / "mel.npy", "-o", wav, "--model", tmp_path / "resumed")
    assert process.returncode == 0, process.stderr
    assert soundfile.info(wav).frames == 2560
    for path in tmp_path.rglob("step_*.safetensors"):
        path.unlink()  # 850 MB each
