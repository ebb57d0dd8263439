"""Several processes are as good as one, and a killed one costs no more than a restart."""

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
from tests.training.runs import checkpoint, differing, metrics


def torchrun(*words: str | Path, world: int = 2, restarts: int = 0) -> subprocess.Popen[str]:
    """Start `hifigan` in processes that share their gradients through gloo."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    options = ["--nproc-per-node", str(world), "--max-restarts", str(restarts)]
    return subprocess.Popen(
        [*launcher, *options, "-m", "tests.training.small", *map(str, words)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("world", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_processes_equal_one_with_the_whole_batch(
    prepared: Path, tmp_path: Path, world: int
) -> None:
    """Protects shares, gradients, validation and resume across processes, over several shards.

    The first steps run in one process, the rest in several, so that a checkpoint crosses over as
    well. Adam hides a gradient summed instead of averaged; its moments do not.
    """
    options = ("--no-tensorboard", *small.arguments(steps=5, validate_every=2))
    assert small.run("train", prepared, "--out", tmp_path / "one", *options).returncode == 0
    first = (*options, "--steps", "2")
    assert small.run("train", prepared, "--out", tmp_path / "two", *first).returncode == 0
    assert len(list(prepared.glob("samples-*.i16"))) > 1
    run = torchrun("train", prepared, "--out", tmp_path / "two", *options, world=world)
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
        ours, theirs = ([line[key] for line in metrics(tmp_path / n, kind)] for n in ("one", "two"))
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def wait_for_step(run: subprocess.Popen[str], step: int) -> None:
    """Read the main process's reports until a step is done."""
    assert run.stdout is not None
    for line in run.stdout:
        told = json.loads(line)
        if told["event"] == "train" and told["step"] >= step:
            return
    pytest.fail(f"the run ended before step {step}: {run.communicate()[1]}")


def children(pid: int) -> list[int]:
    """List the processes that a process started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


STEPS = 12


def elastic_line(prepared: Path, out: Path) -> list[str]:
    """Return the words of a run that logs each step and saves every second one."""
    options = ["--no-tensorboard", "--json", *small.arguments(steps=STEPS, checkpoint_every=2)]
    return ["train", str(prepared), "--out", str(out), *options]


@pytest.fixture(scope="module")
def unbroken(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of two processes that nothing happened to."""
    out = tmp_path_factory.mktemp("unbroken") / "run"
    run = torchrun(*elastic_line(prepared, out))
    error = run.communicate(timeout=280)[1]
    assert run.returncode == 0, error
    return out


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the ranks through /proc")
@pytest.mark.parametrize("victim", [0, -1])
def test_torchrun_restarts_a_run_whose_rank_was_killed(
    prepared: Path, unbroken: Path, tmp_path: Path, victim: int
) -> None:
    """Elastic restart: kill -9 of the rank that writes, or of another; the weights at the end are
    those of the unbroken run, from the last checkpoint on and not from the beginning."""
    run = torchrun(*elastic_line(prepared, tmp_path / "run"), restarts=1)
    wait_for_step(run, 3)
    os.kill(children(run.pid)[victim], signal.SIGKILL)
    out, error = run.communicate(timeout=250)
    assert run.returncode == 0, error
    events = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    (restart,) = [event for event in events if event["event"] == "started"]
    assert restart["step"] >= 2
    assert differing(checkpoint(unbroken, STEPS), checkpoint(tmp_path / "run", STEPS)) == []
    steps = [line["step"] for line in metrics(tmp_path / "run")]
    assert steps == list(range(1, STEPS + 1))


@pytest.mark.slow
def test_sigterm_to_torchrun_saves_at_a_common_step(prepared: Path, tmp_path: Path) -> None:
    """Protects row 39 for several processes, which hear the signal at different steps."""
    options = ("--no-tensorboard", "--json", *small.arguments(steps=100_000))
    run = torchrun("train", prepared, "--out", tmp_path / "run", *options)
    wait_for_step(run, 3)
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=90)
    saved = list((tmp_path / "run/checkpoints").glob("step_*.safetensors"))
    assert len(saved) == 1
    assert int(saved[0].stem.removeprefix("step_")) % 10 == 0  # where the processes compare
