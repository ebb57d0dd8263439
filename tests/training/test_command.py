"""The command `hifigan train`, as people and scripts call it."""

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
from tests.training.runs import checkpoint, differing


def train(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return hifigan("train", *words, cwd=cwd)


def test_json_has_an_object_for_each_step_and_event(prepared: Path, tmp_path: Path) -> None:
    """Protects scripts that read the run; deterministic mode and bfloat16 run on a CPU too."""
    done = small.run(
        "train", prepared, "--out", tmp_path / "run", "--json", "--bf16", "--deterministic",
        "--seed", "3", *small.arguments(steps=2),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    names = [line["event"] for line in lines]
    assert names == ["started", "validation", "train", "train", "validation", "saved", "finished"]
    assert all(line["schema"] == 1 for line in lines)
    assert lines[0]["precision"] == "bf16"
    assert set(Logged.__dataclass_fields__) - {"losses"} <= set(lines[2])
    assert lines[3]["mel"] > 0


def test_default_places_work_with_nothing_said(tmp_path: Path) -> None:
    """Protects `hifigan train` after `hifigan preprocess`: ./prepared in, ./runs/PRESET out."""
    small.prepare(tmp_path / "prepared")
    done = train("--preset", "v3", "--dry-run", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["run"] == "runs/v3"
    assert plan["generator_parameters"] == 1_464_322
    assert plan["discriminator_parameters"] == 41_105_770 + 29_618_821
    assert plan["steps"] == 2_500_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["prepared"]  # nothing was touched


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("nowhere",), 3, "hifigan preprocess"),
        (("x" * 300,), 3, "hifigan preprocess"),
        (("DATA", "--init", "."), 5, "no model.safetensors and no"),
        (("DATA", "--gpu", "0"), 8, "--device auto"),
        (("DATA", "--set", "batchsize=4"), 2, "did you mean batch_size?"),
        (("DATA", "--set", "sample_rate=24000"), 2, "24000"),
        (("DATA", "--set", "segment_size=1000"), 2, "multiple of hop_length"),
        (("DATA", "--preset", "v4"), 2, "v1"),
        (("DATA", "--init", "nothing.safetensors"), 5, "nothing.safetensors"),
        (("DATA", "--config", "absent.toml"), 2, "absent.toml"),
    ],
)
def test_faults_end_in_two_lines_and_their_exit_code(
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    """Protects rows 49 and 50 and their like: what happened, what mends it, nothing left behind."""
    monkeypatch.chdir(tmp_path)
    named = [str(prepared) if word == "DATA" else word for word in words]
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert run(["train", *named, "--out", "run"]) == code
    finally:
        signal.signal(signal.SIGTERM, before)
    printed = capsys.readouterr()
    assert printed.err.startswith("error:")
    assert said in printed.err
    assert printed.out == ""
    assert not (tmp_path / "run").exists()


def test_a_run_folder_that_cannot_be_made_is_refused(prepared: Path, tmp_path: Path) -> None:
    """Protects a name that is too long, at which pathlib raises."""
    for more in ([], ["--force"]):
        out = str(tmp_path / ("x" * 300))
        assert run(["train", str(prepared), "--out", out, "--device", "cpu", *more]) == 4
    assert list(tmp_path.iterdir()) == []


def test_dry_run_names_the_folder_as_it_is(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Protects paths with brackets, which are markup to rich."""
    out = tmp_path / "[v1]"
    assert run(["train", str(prepared), "--out", str(out), "--dry-run"]) == 0
    assert f"{out}: starts" in capsys.readouterr().out
    assert not out.exists()


def test_a_run_in_use_is_refused(prepared: Path, tmp_path: Path) -> None:
    """Protects row 27: two runs on one folder; the second leaves with 4 and names the first."""
    with RunFolder(tmp_path / "run").held():
        done = train(prepared, "--out", tmp_path / "run")
    assert done.returncode == 4, done.stderr
    assert f"in use by pid {os.getpid()}" in done.stderr


def test_live_view_on_a_terminal(prepared: Path, tmp_path: Path) -> None:
    """Protects the table that people watch: losses, speed, time left, validation."""
    ours, theirs = pty.openpty()
    words = ("train", prepared, "--out", tmp_path / "run", "--no-tensorboard")
    process = subprocess.Popen(
        small.command(*words, *small.arguments(steps=3)),
        env=environment({"COLUMNS": "120", "TERM": "xterm"}),
        stderr=theirs,
        stdout=subprocess.DEVNULL,
    )
    os.close(theirs)
    shown = b""
    try:
        while block := os.read(ours, 65_536):
            shown += block
    except OSError:  # the other end closed
        pass
    os.close(ours)
    assert process.wait(timeout=60) == 0
    for word in (b"3 of 3", b"steps/s", b"left", b"mel_l1_full", b"best", b"feature"):
        assert word in shown
    assert b"done: 3 steps" in shown


@pytest.mark.slow
def test_real_discriminators_resume_and_the_model_vocodes(prepared: Path, tmp_path: Path) -> None:
    """Protects the whole at full size: 1 + 1 steps equal 2, with torch's own number of threads.

    The model that the run leaves is one that `vocode` takes.
    """
    options = [*small.arguments(steps=2, batch_size=2), "--no-tensorboard", "--device", "cpu"]
    env = {"OMP_NUM_THREADS": str(os.cpu_count())}
    for words in (["whole"], ["parts", "--steps", "1"], ["parts"]):
        done = hifigan(
            "train", prepared, "--out", tmp_path / words[0], *options, *words[1:], env=env,
            timeout_s=280,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert differing(checkpoint(tmp_path / "whole", 2), checkpoint(tmp_path / "parts", 2)) == []
    np.save(tmp_path / "mel.npy", np.full((80, 10), -4, np.float32))
    wav = tmp_path / "out.wav"
    done = hifigan("vocode", tmp_path / "mel.npy", "-o", wav, "--model", tmp_path / "parts")
    assert done.returncode == 0, done.stderr
    assert soundfile.info(wav).frames == 2560
    for path in tmp_path.rglob("step_*.safetensors"):
        path.unlink()  # 850 MB each
