"""Rows 37 to 47 of the fault matrix (`matrix.py`): faults in training and preprocessing."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hifigan_cli.data.prepared import open_prepared
from tests import forkserver
from tests.audio.sounds import wav
from tests.data.corpora import write_corpus
from tests.faults.command import Command
from tests.faults.limits import limit_memory
from tests.faults.runs import running_command, same_checkpoint, saved_steps, train_args
from tests.forkserver import HIFIGAN, HIFIGAN_SMALL
from tests.helpers import environment
from tests.training import small
from tests.training.runs import metrics

FAULTY_HIFIGAN = (sys.executable, "-m", "tests.faults.fault_injection")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone")


@pytest.fixture(scope="session")
def reference(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train twelve steps without a fault."""
    out = tmp_path_factory.mktemp("reference") / "run"
    assert small.run(*train_args(prepared, out, steps=12, checkpoint_every=3)).returncode == 0
    return out


def finish(cli: Command, prepared: Path, out: Path, **recipe: Any) -> int:
    """Run the command again; return the step that it continued from."""
    options = {"steps": 12, "checkpoint_every": 3, **recipe}
    return int(
        cli.expect_success(*train_args(prepared, out, **options), program=HIFIGAN_SMALL).last_event(
            "started"
        )["step"]
    )


def test_row_37_kill_while_training(
    cli: Command, prepared: Path, reference: Path, tmp_path: Path
) -> None:
    """kill -9 loses the steps since the last checkpoint; the result is bit-identical."""
    out = tmp_path / "run"
    with running_command(
        *train_args(prepared, out, steps=12, checkpoint_every=3, workers=2)
    ) as run:
        run.wait_for("train", 5)
        run.process.kill()
        run.wait()
    saved = saved_steps(out)
    assert saved
    assert finish(cli, prepared, out) == saved[-1]
    assert same_checkpoint(out, reference, 12)


@pytest.mark.parametrize("when", ["half written", "before the rename"])
def test_row_38_kill_during_a_save(
    cli: Command, prepared: Path, reference: Path, tmp_path: Path, when: str
) -> None:
    """The previous checkpoint is used; the temporary file of the killed save is removed."""
    out = tmp_path / "run"
    line = train_args(prepared, out, steps=12, checkpoint_every=3)
    fault = environment({"FAULT": f"kill 6 {when}"})
    killed = forkserver.run(FAULTY_HIFIGAN, line, fault)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert list((out / "checkpoints").glob(".*"))
    assert saved_steps(out) == [3]
    assert finish(cli, prepared, out) == 3
    assert same_checkpoint(out, reference, 12)
    assert not list(out.rglob(".*"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_row_39_signal_while_training(
    cli: Command, prepared: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """The run finishes and saves its step, and the same command continues from it."""
    out = tmp_path / "run"
    with running_command(*train_args(prepared, out, steps=100_000, workers=2)) as run:
        step = run.wait_for("train", 3)["step"]
        run.process.send_signal(number)
        exit_code = run.wait()
        cli.check(exit_code, run.errors)
        assert exit_code == code
        assert number.name in run.errors
    (saved,) = saved_steps(out)
    assert saved >= step
    assert finish(cli, prepared, out, steps=saved + 1) == saved


def test_row_39_second_signal(cli: Command, prepared: Path, tmp_path: Path) -> None:
    """A second SIGINT ends the run during a long step, without a checkpoint."""
    out = tmp_path / "run"
    with running_command(*train_args(prepared, out, steps=50, segment_size=256 * 10_000)) as run:
        run.wait_for("validation")
        time.sleep(0.3)
        # Two signals during one long operation arrive as one, so repeat the second.
        for _ in range(200):
            run.process.send_signal(signal.SIGINT)
            time.sleep(0.3)
            if run.process.poll() is not None:
                break
        code = run.wait()
        cli.check(code, run.errors)
    assert code == 130
    assert saved_steps(out) == []


def test_row_40_disk_full_during_a_save(cli: Command, prepared: Path, tmp_path: Path) -> None:
    """Training continues with a warning; three failed saves in a row are exit code 4."""
    out = tmp_path / "run"
    with running_command(*train_args(prepared, out, steps=100_000, checkpoint_every=5)) as run:
        run.wait_for("saved", 5)
        full = (100_000, resource.RLIM_INFINITY)  # less than a checkpoint
        resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, full)
        run.wait_for("notice")
        room = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, room)
        run.wait_for("saved")
        resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, full)
        code = run.wait()
        cli.check(code, run.errors)
    assert code == 4
    assert len(re.findall("^warning: ", run.errors, re.MULTILINE)) >= 3
    last = max(event["step"] for event in run.events if event["event"] == "saved")
    assert saved_steps(out)[-1] == last
    assert finish(cli, prepared, out, steps=last + 1) == last


def test_row_41_bad_steps_are_skipped(cli: Command, prepared: Path, tmp_path: Path) -> None:
    """Two NaN losses change no weights and are reported, and training succeeds."""
    line = train_args(prepared, tmp_path / "run", steps=12, checkpoint_every=3)
    result = cli.expect_success(*line, program=FAULTY_HIFIGAN, env={"FAULT": "nan 5 6"})
    assert re.findall(r"updates up to step (\d+)", result.stderr) == ["5", "6"]
    assert saved_steps(tmp_path / "run")[-1] == 12
    losses = metrics(tmp_path / "run")
    assert all(line["mel"] == line["mel"] for line in losses)  # no NaN


def test_row_41_rollback(cli: Command, prepared: Path, tmp_path: Path) -> None:
    """After ten NaN losses in a row, training continues from the last checkpoint's weights."""
    line = train_args(prepared, tmp_path / "run", steps=24, checkpoint_every=3)
    result = cli.expect_success(*line, program=FAULTY_HIFIGAN, env={"FAULT": "nan 8 17"})
    assert "weights of step 6" in result.stderr
    assert saved_steps(tmp_path / "run")[-1] == 24


def test_row_41_diverged(cli: Command, prepared: Path, tmp_path: Path) -> None:
    """If NaN losses continue, exit code 7 ends training, and the last good checkpoint remains."""
    line = train_args(prepared, tmp_path / "run", steps=60, checkpoint_every=3)
    stderr = cli.expect_error(7, *line, program=FAULTY_HIFIGAN, env={"FAULT": "nan 8 60"})
    assert "learning_rate" in stderr
    assert saved_steps(tmp_path / "run")[-1] == 6


def test_row_42_out_of_memory(cli: Command, prepared: Path, model: Path, tmp_path: Path) -> None:
    """Exit code 8 with the option to lower."""
    huge = 256 * 2**36  # four terabytes a segment
    line = train_args(prepared, tmp_path / "run", segment_size=huge)
    stderr = cli.expect_error(8, *line, program=HIFIGAN_SMALL)
    assert "batch_size" in stderr


@pytest.mark.skipif(sys.platform == "darwin", reason="the system does not limit memory")
def test_row_42_out_of_memory_in_synthesis(cli: Command, model: Path, tmp_path: Path) -> None:
    """Exit code 8 without an output, for a recording or a library that does not fit into memory.

    `mel` loads the complete recording; `resynth` does not, so only its engine can be too large.
    """
    sound = tmp_path / "long.wav"
    size = 700 << 20
    sound.write_bytes(wav(b"", stated_bytes=size))
    os.truncate(sound, size + 44)  # silence that uses no disk space
    mel = ("mel", sound, "-o", tmp_path / "m.npy")
    resynth = ("resynth", sound, "-o", tmp_path / "o.wav", "-m", model, "--no-enhance")
    for limit, args in ((1 << 30, mel), (600 << 20, (*resynth, "--engine", "torch"))):
        stderr = cli.expect_error(8, *args, prepare=limit_memory(limit))
        assert "--chunk" in stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["long.wav"]


def test_row_43_data_worker_raises(cli: Command, prepared: Path, tmp_path: Path) -> None:
    """A packed file that is truncated during training fails with exit code 3 and its name, at once.

    Data workers are threads: they cannot die separately, and the run raises their errors.
    """
    data = Path(shutil.copytree(prepared, tmp_path / "data"))
    with running_command(*train_args(data, tmp_path / "run", steps=100_000, workers=2)) as run:
        run.wait_for("train", 5)
        for path in data.glob("samples-*.i16"):
            os.truncate(path, 100)
        code = run.wait(30)
        cli.check(code, run.errors)
    assert code == 3
    assert re.search(r"samples-\d+\.i16 .*clip\d+", run.errors)


def test_row_43_preprocess_worker_killed(cli: Command, tmp_path: Path) -> None:
    """The files of a killed worker process are processed again; none is lost."""
    source, out = write_corpus(tmp_path / "in", 4), tmp_path / "out"
    for index in range(500):
        os.link(source / f"clip{index % 4:03}.wav", source / f"more{index:03}.wav")
    line = [*HIFIGAN, "preprocess", str(source), "-o", str(out), "--workers", "2", "--json"]
    run = subprocess.Popen(line, env=environment(), stdout=-1, stderr=-1, start_new_session=True)
    try:
        os.kill(_find_worker(run, out), signal.SIGKILL)
        _, errors = run.communicate(timeout=90)
    finally:
        run.kill()
        run.wait()
    cli.check(run.returncode, errors.decode())
    assert run.returncode == 0
    data = open_prepared(out)
    assert len(data.training) + len(data.validation) == 504


def _find_worker(run: subprocess.Popen[bytes], out: Path) -> int:
    """Wait until the command has worker processes; return the pid of one."""
    while not list(out.glob("samples-*.i16")):
        assert run.poll() is None
        time.sleep(0.005)
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line, stat = path.read_bytes(), path.with_name("stat").read_text()
        except OSError:
            continue
        session, parent = stat.rpartition(")")[2].split()[3], stat.rpartition(")")[2].split()[1]
        is_fork = b"forkserver" in line and int(parent) != run.pid
        if session == str(run.pid) and is_fork:
            return int(path.parent.name)
    pytest.fail("no worker process")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the ranks through /proc")
def test_row_44_a_rank_dies(cli: Command, prepared: Path, tmp_path: Path) -> None:
    """The other rank stops within a minute, and a restart continues from the last checkpoint."""
    options = train_args(prepared, tmp_path / "run", checkpoint_every=2, steps=100_000)
    ranks = (*TORCHRUN, "--nproc-per-node", "2", "-m", "tests.training.small")
    with running_command(*options, program=ranks) as run:
        run.wait_for("train", 5)
        children = Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children").read_text()
        os.kill(int(children.split()[-1]), signal.SIGKILL)
        killed = time.monotonic()
        code = run.wait(90)
    assert code != 0
    assert time.monotonic() - killed < 60
    assert re.search(r"^error: ", run.errors, re.MULTILINE)
    saved = saved_steps(tmp_path / "run")[-1]
    assert finish(cli, prepared, tmp_path / "run", steps=saved + 2, checkpoint_every=2) == saved


def test_row_45_other_world_size(
    cli: Command, prepared: Path, reference: Path, tmp_path: Path
) -> None:
    """The data order does not change; a world size that does not divide the batch is an error."""
    out = tmp_path / "run"
    cli.expect_success(
        *train_args(prepared, out, steps=3, checkpoint_every=3), program=HIFIGAN_SMALL
    )
    ranks = (*TORCHRUN, "--nproc-per-node", "2", "-m", "tests.training.small")
    cli.expect_success(*train_args(prepared, out, steps=6, checkpoint_every=3), program=ranks)
    losses, expected = ([line["mel"] for line in metrics(run)[:6]] for run in (out, reference))
    assert losses == pytest.approx(expected, rel=1e-5)
    with running_command(
        *train_args(prepared, tmp_path / "odd", batch_size=3), program=ranks
    ) as run:
        assert run.wait() != 0
    assert re.search(r"error: .*\b3\b.*\b2\b", run.errors)


def test_row_46_data_changed(cli: Command, prepared: Path, tmp_path: Path) -> None:
    """Exit code 3 with the changed files and clips, at the start and at a resume."""
    data = Path(shutil.copytree(prepared, tmp_path / "data"))
    path = data / "samples-00001.i16"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(bytes(content))
    stderr = cli.expect_error(3, *train_args(data, tmp_path / "run"), program=HIFIGAN_SMALL)
    assert "samples-00001.i16" in stderr
    assert re.search(r"1 clips differ: clip\d+", stderr)
    shutil.rmtree(data)
    shutil.copytree(prepared, data)
    cli.expect_success(*train_args(data, tmp_path / "run", steps=2), program=HIFIGAN_SMALL)
    shutil.rmtree(data)
    small.prepare(data, seed=5)
    stderr = cli.expect_error(
        3, *train_args(data, tmp_path / "run", steps=4), program=HIFIGAN_SMALL
    )
    assert "step_00000002.safetensors" in stderr


# The process kills itself in the middle of write 150.
KILLED_PREPROCESS = """
import sys
from hifigan_cli.cli.main import run
from tests.data.test_restart import kill_at_write
kill_at_write(150, 0.5)()
run(sys.argv[1:])
"""


def test_row_47_preprocess_killed(cli: Command, tmp_path: Path) -> None:
    """The same command completes it, with the bytes of an uninterrupted run."""
    from tests.data.corpora import digests

    source = write_corpus(tmp_path / "in", 4)
    for index in range(100):
        os.link(source / f"clip{index % 4:03}.wav", source / f"more{index:03}.wav")
    out = tmp_path / "out"
    args = ("preprocess", source, "--workers", "1", "--max-file-mb", "1", "-o")
    line = (*args, out)
    run = subprocess.run(
        [sys.executable, "-c", KILLED_PREPROCESS, *line], env=environment(), check=False
    )
    assert run.returncode == -signal.SIGKILL
    assert (out / "journal.jsonl").read_bytes().count(b"\n") == 75
    assert not (out / "prepared.json").exists()
    assert cli.expect_success(*line, "--json").last_event("prepared")["resumed_files"] > 0
    cli.expect_success(*args, tmp_path / "clean")
    assert digests(out) == digests(tmp_path / "clean")
