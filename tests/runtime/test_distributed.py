"""Several processes train like one, and a killed process only causes a restart."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.helpers import environment
from tests.training import small
from tests.training.runs import checkpoint, differing_tensors, metrics


def torchrun(
    *arguments: str | Path, world_size: int = 2, restarts: int = 0
) -> subprocess.Popen[str]:
    """Start `hifigan` in processes that exchange gradients with gloo."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    options = ["--nproc-per-node", str(world_size), "--max-restarts", str(restarts)]
    return subprocess.Popen(
        [*launcher, *options, "-m", "tests.training.small", *map(str, arguments)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("world_size", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_several_processes_equal_one_with_the_full_batch(
    prepared: Path, tmp_path: Path, world_size: int
) -> None:
    """Several processes have the batches, gradients and validation of one; data in several files.

    The first steps run in one process and the rest in several, so that they also resume from its
    checkpoint. Adam hides a gradient summed instead of averaged; its moments do not.
    """
    options = ("--no-tensorboard", *small.arguments(steps=5, validate_every=2))
    assert small.run("train", prepared, "--out", tmp_path / "one", *options).returncode == 0
    first = (*options, "--steps", "2")
    assert small.run("train", prepared, "--out", tmp_path / "two", *first).returncode == 0
    assert len(list(prepared.glob("samples-*.i16"))) > 1
    run = torchrun("train", prepared, "--out", tmp_path / "two", *options, world_size=world_size)
    error = run.communicate(timeout=240)[1]
    assert run.returncode == 0, error

    one, two = (load_file(checkpoint(tmp_path / name, 5)) for name in ("one", "two"))
    weights = [name for name in one if name.split(".")[0] in ("generator", "mpd", "msd")]
    moments = [name for name in one if ".exp_avg" in name]
    assert weights
    assert moments
    for name in weights:
        torch.testing.assert_close(two[name], one[name], rtol=0, atol=1e-6)
    for name in moments:
        scale = one[name].abs().max().item()
        torch.testing.assert_close(two[name], one[name], rtol=0, atol=1e-3 * scale + 1e-9)
    for kind, key in (("train", "mel"), ("validation", "mel_l1_full")):
        expected, actual = (
            [line[key] for line in metrics(tmp_path / name, kind)] for name in ("one", "two")
        )
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def wait_for_step(run: subprocess.Popen[str], step: int) -> None:
    """Read the main process's events until a step is done."""
    assert run.stdout is not None
    for line in run.stdout:
        event = json.loads(line)
        if event["event"] == "train" and event["step"] >= step:
            return
    pytest.fail(f"the run ended before step {step}: {run.communicate()[1]}")


def children(pid: int) -> list[int]:
    """List the child processes of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


STEPS = 12


def elastic_command(prepared: Path, out: Path) -> list[str]:
    """Return the command of a run that logs every step and saves every second one."""
    options = ["--no-tensorboard", "--json", *small.arguments(steps=STEPS, checkpoint_every=2)]
    return ["train", str(prepared), "--out", str(out), *options]


@pytest.fixture(scope="module")
def uninterrupted(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an uninterrupted run of two processes."""
    out = tmp_path_factory.mktemp("uninterrupted") / "run"
    run = torchrun(*elastic_command(prepared, out))
    error = run.communicate(timeout=280)[1]
    assert run.returncode == 0, error
    return out


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the ranks through /proc")
@pytest.mark.parametrize("victim", [0, -1])
def test_torchrun_restarts_a_run_whose_rank_was_killed(
    prepared: Path, uninterrupted: Path, tmp_path: Path, victim: int
) -> None:
    """After kill -9 of rank 0 or of another, the run restarts from the last checkpoint.

    Its final weights are those of the uninterrupted run.
    """
    run = torchrun(*elastic_command(prepared, tmp_path / "run"), restarts=1)
    wait_for_step(run, 3)
    os.kill(children(run.pid)[victim], signal.SIGKILL)
    out, error = run.communicate(timeout=250)
    assert run.returncode == 0, error
    events = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    (restart,) = [event for event in events if event["event"] == "started"]
    assert restart["step"] >= 2
    assert (
        differing_tensors(checkpoint(uninterrupted, STEPS), checkpoint(tmp_path / "run", STEPS))
        == []
    )
    steps = [line["step"] for line in metrics(tmp_path / "run")]
    assert steps == list(range(1, STEPS + 1))


@pytest.mark.slow
def test_sigterm_to_torchrun_saves_at_a_common_step(prepared: Path, tmp_path: Path) -> None:
    """The processes receive the signal at different steps, and save at a common one."""
    options = ("--no-tensorboard", "--json", *small.arguments(steps=100_000))
    run = torchrun("train", prepared, "--out", tmp_path / "run", *options)
    wait_for_step(run, 3)
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=90)
    saved = list((tmp_path / "run/checkpoints").glob("step_*.safetensors"))
    assert len(saved) == 1
    assert int(saved[0].stem.removeprefix("step_")) % 10 == 0  # where the processes synchronize
