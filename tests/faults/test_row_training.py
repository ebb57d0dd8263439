"""Rows 37 to 46: training that is killed, starved and poisoned."""

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
from tests.data.corpora import corpus
from tests.faults.circumstances import little_memory
from tests.faults.command import Command
from tests.faults.runs import same, steps_saved, watched, words
from tests.forkserver import HIFIGAN, SMALL
from tests.helpers import environment
from tests.training import small
from tests.training.runs import metrics

POISONED = (sys.executable, "-m", "tests.faults.poisoned")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone")


@pytest.fixture(scope="session")
def whole(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of twelve steps that nothing happened to."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert small.run(*words(prepared, out, steps=12, checkpoint_every=3)).returncode == 0
    return out


def finish(cli: Command, prepared: Path, out: Path, **recipe: Any) -> int:
    """Run the command again to its end; return the step that it continued from."""
    options = {"steps": 12, "checkpoint_every": 3, **recipe}
    return int(cli.done(*words(prepared, out, **options), program=SMALL).told("started")["step"])


def test_row_37_kill_while_training(
    cli: Command, prepared: Path, whole: Path, tmp_path: Path
) -> None:
    """kill -9 costs the steps since the last checkpoint and changes not one bit."""
    out = tmp_path / "run"
    with watched(*words(prepared, out, steps=12, checkpoint_every=3, workers=2)) as run:
        run.wait_for("train", 5)
        run.process.kill()
        run.end()
    saved = steps_saved(out)
    assert saved
    assert finish(cli, prepared, out) == saved[-1]
    assert same(out, whole, 12)


@pytest.mark.parametrize("when", ["half written", "before the rename"])
def test_row_38_kill_during_a_save(
    cli: Command, prepared: Path, whole: Path, tmp_path: Path, when: str
) -> None:
    """The checkpoint before is whole and serves; what the killed save left is cleaned away."""
    out = tmp_path / "run"
    line = words(prepared, out, steps=12, checkpoint_every=3)
    poison = environment({"POISON": f"kill 6 {when}"})
    killed = forkserver.run(POISONED, line, poison)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    strays = [path.name for path in (out / "checkpoints").iterdir() if path.name.startswith(".")]
    assert strays
    assert steps_saved(out) == [3]
    assert finish(cli, prepared, out) == 3
    assert same(out, whole, 12)
    assert not list(out.rglob(".*"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_row_39_signal_while_training(
    cli: Command, prepared: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """The step is finished and saved, and the same command continues from it."""
    out = tmp_path / "run"
    with watched(*words(prepared, out, steps=100_000, workers=2)) as run:
        step = run.wait_for("train", 3)["step"]
        run.process.send_signal(number)
        ended = run.end()
        cli.check(ended, run.errors)
        assert ended == code
        assert number.name in run.errors
    (saved,) = steps_saved(out)
    assert saved >= step
    assert finish(cli, prepared, out, steps=saved + 1) == saved


def test_row_39_second_signal(cli: Command, prepared: Path, tmp_path: Path) -> None:
    """Who presses twice does not wait for a long step, and nothing is saved."""
    out = tmp_path / "run"
    with watched(*words(prepared, out, steps=50, segment_size=256 * 10_000)) as run:
        run.wait_for("validation")
        time.sleep(0.3)
        # Two signals within one long operation arrive as one, so the second is repeated.
        for _ in range(200):
            run.process.send_signal(signal.SIGINT)
            time.sleep(0.3)
            if run.process.poll() is not None:
                break
        code = run.end()
        cli.check(code, run.errors)
    assert code == 130
    assert steps_saved(out) == []


def test_row_40_disk_full_during_a_save(cli: Command, prepared: Path, tmp_path: Path) -> None:
    """Training goes on with a warning and the old checkpoints; three failures in a row are 4."""
    out = tmp_path / "run"
    with watched(*words(prepared, out, steps=100_000, checkpoint_every=5)) as run:
        run.wait_for("saved", 5)
        full = (100_000, resource.RLIM_INFINITY)  # less than a checkpoint
        resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, full)
        run.wait_for("noted")
        room = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, room)
        run.wait_for("saved")
        resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, full)
        code = run.end()
        cli.check(code, run.errors)
    assert code == 4
    assert run.errors.count("training goes on") >= 3
    last = max(event["step"] for event in run.events if event["event"] == "saved")
    assert steps_saved(out)[-1] == last
    assert finish(cli, prepared, out, steps=last + 1) == last


def test_row_41_bad_steps_are_skipped(cli: Command, prepared: Path, tmp_path: Path) -> None:
    """Two losses of NaN move nothing, are told, and training ends well."""
    line = words(prepared, tmp_path / "run", steps=12, checkpoint_every=3)
    ended = cli.done(*line, program=POISONED, env={"POISON": "nan 5 6"})
    assert re.findall(r"updates skipped by step (\d+)", ended.err) == ["5", "6"]
    assert steps_saved(tmp_path / "run")[-1] == 12
    losses = metrics(tmp_path / "run")
    assert all(line["mel"] == line["mel"] for line in losses)  # no NaN among them


def test_row_41_rolled_back_once(cli: Command, prepared: Path, tmp_path: Path) -> None:
    """After ten in a row the last checkpoint's weights serve once more, and training ends well."""
    line = words(prepared, tmp_path / "run", steps=24, checkpoint_every=3)
    ended = cli.done(*line, program=POISONED, env={"POISON": "nan 8 17"})
    assert "going back to the weights of step 6" in ended.err
    assert steps_saved(tmp_path / "run")[-1] == 24


def test_row_41_diverged(cli: Command, prepared: Path, tmp_path: Path) -> None:
    """When that does not help it is exit 7, and the last good checkpoint stands."""
    line = words(prepared, tmp_path / "run", steps=60, checkpoint_every=3)
    said = cli.refused(7, *line, program=POISONED, env={"POISON": "nan 8 60"})
    assert "learning_rate" in said
    assert steps_saved(tmp_path / "run")[-1] == 6


def test_row_42_out_of_memory(cli: Command, prepared: Path, model: Path, tmp_path: Path) -> None:
    """Exit 8, and what to lower."""
    huge = 256 * 2**36  # four terabytes a segment
    line = words(prepared, tmp_path / "run", segment_size=huge)
    said = cli.refused(8, *line, program=SMALL)
    assert "out of memory" in said
    assert "batch_size" in said


@pytest.mark.skipif(sys.platform == "darwin", reason="the system does not limit memory")
def test_row_42_out_of_memory_beside_training(cli: Command, model: Path, tmp_path: Path) -> None:
    """A mel that does not fit is exit 8 and leaves nothing; so is a library that does not.

    `mel` holds its recording; `resynth` does not, and only its engine can be too large.
    """
    sound = tmp_path / "long.wav"
    size = 700 << 20
    sound.write_bytes(wav(b"", claimed=size))
    os.truncate(sound, size + 44)  # silence that takes no room on the disk
    to_mel = ("mel", sound, "-o", tmp_path / "m.npy")
    line = ("resynth", sound, "-o", tmp_path / "o.wav", "-m", model, "--no-enhance")
    for limit, given in ((1 << 30, to_mel), (600 << 20, (*line, "--engine", "torch"))):
        said = cli.refused(8, *given, prepare=little_memory(limit))
        assert "out of memory" in said
        assert "lower --chunk" in said
    assert [entry.name for entry in tmp_path.iterdir()] == ["long.wav"]


def test_row_43_data_worker_raises(cli: Command, prepared: Path, tmp_path: Path) -> None:
    """A shard that shrinks under a running training is exit 3 with its name, without delay.

    Workers of training are threads: none can die alone, and what one raises, the run raises.
    """
    data = Path(shutil.copytree(prepared, tmp_path / "data"))
    with watched(*words(data, tmp_path / "run", steps=100_000, workers=2)) as run:
        run.wait_for("train", 5)
        for path in data.glob("samples-*.i16"):
            os.truncate(path, 100)
        code = run.end(30)
        cli.check(code, run.errors)
    assert code == 3
    assert re.search(r"samples-\d+\.i16 became shorter; clip\d+ is cut", run.errors)


def test_row_43_preprocess_worker_is_killed(cli: Command, tmp_path: Path) -> None:
    """The files that a killed process had in hand are done again; none is lost."""
    source, out = corpus(tmp_path / "in", 4), tmp_path / "out"
    for index in range(500):
        os.link(source / f"clip{index % 4:03}.wav", source / f"more{index:03}.wav")
    line = [*HIFIGAN, "preprocess", str(source), "-o", str(out), "--workers", "2", "--json"]
    run = subprocess.Popen(line, env=environment(), stdout=-1, stderr=-1, start_new_session=True)
    try:
        victim = _worker_of(run, out)
        os.kill(victim, signal.SIGKILL)
        _, errors = run.communicate(timeout=90)
    finally:
        run.kill()
        run.wait()
    cli.check(run.returncode, errors.decode())
    assert run.returncode == 0
    data = open_prepared(out)
    assert len(data.training) + len(data.validation) == 504


def _worker_of(run: subprocess.Popen[bytes], out: Path) -> int:
    """Wait until the command works in processes of its own; return one of them."""
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
    pytest.fail("found no worker")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the ranks through /proc")
def test_row_44_a_rank_dies(cli: Command, prepared: Path, tmp_path: Path) -> None:
    """The others stop within a minute, and a restart goes on from the last checkpoint."""
    options = words(prepared, tmp_path / "run", checkpoint_every=2, steps=100_000)
    ranks = (*TORCHRUN, "--nproc-per-node", "2", "-m", "tests.training.small")
    with watched(*options, program=ranks) as run:
        run.wait_for("train", 5)
        children = Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children").read_text()
        os.kill(int(children.split()[-1]), signal.SIGKILL)
        killed = time.monotonic()
        code = run.end(90)
    assert code != 0
    assert time.monotonic() - killed < 60
    assert "another process of this run ended" in run.errors
    saved = steps_saved(tmp_path / "run")[-1]
    assert finish(cli, prepared, tmp_path / "run", steps=saved + 2, checkpoint_every=2) == saved


def test_row_45_another_world_size(
    cli: Command, prepared: Path, whole: Path, tmp_path: Path
) -> None:
    """The order of data is that of one process; a number that cannot share the batch is refused."""
    out = tmp_path / "run"
    cli.done(*words(prepared, out, steps=3, checkpoint_every=3), program=SMALL)
    ranks = (*TORCHRUN, "--nproc-per-node", "2", "-m", "tests.training.small")
    cli.done(*words(prepared, out, steps=6, checkpoint_every=3), program=ranks)
    ours, theirs = ([line["mel"] for line in metrics(run)[:6]] for run in (out, whole))
    assert ours == pytest.approx(theirs, rel=1e-5)
    with watched(*words(prepared, tmp_path / "odd", batch_size=3), program=ranks) as run:
        assert run.end() != 0
    assert "a batch of 3 cannot be shared evenly by 2 processes" in run.errors


def test_row_46_data_changed(cli: Command, prepared: Path, tmp_path: Path) -> None:
    """Exit 3 with the files and clips that changed: at the start, and when a run goes on."""
    data = Path(shutil.copytree(prepared, tmp_path / "data"))
    path = data / "samples-00001.i16"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(bytes(content))
    said = cli.refused(3, *words(data, tmp_path / "run"), program=SMALL)
    assert "samples-00001.i16" in said
    assert re.search(r"1 clips differ: clip\d+", said)
    shutil.rmtree(data)
    shutil.copytree(prepared, data)
    cli.done(*words(data, tmp_path / "run", steps=2), program=SMALL)
    shutil.rmtree(data)
    small.prepare(data, seed=5)
    said = cli.refused(3, *words(data, tmp_path / "run", steps=4), program=SMALL)
    assert "data changed since" in said


# kill -9 by itself, halfway through write 42: of the samples of the 21st file.
KILLED = """
import sys
from hifigan_cli.cli.main import run
from tests.data.test_restart import at_write
at_write(150, 0.5)()
run(sys.argv[1:])
"""


def test_row_47_preprocess_killed(cli: Command, tmp_path: Path) -> None:
    """The same command completes it, to the bytes of a clean run."""
    from tests.data.corpora import digests

    source = corpus(tmp_path / "in", 4)
    for index in range(100):
        os.link(source / f"clip{index % 4:03}.wav", source / f"more{index:03}.wav")
    out = tmp_path / "out"
    words = ("preprocess", source, "--workers", "1", "--shard-mb", "1", "-o")
    line = (*words, out)
    run = subprocess.run([sys.executable, "-c", KILLED, *line], env=environment(), check=False)
    assert run.returncode == -signal.SIGKILL
    assert (out / "journal.jsonl").read_bytes().count(b"\n") == 75
    assert not (out / "prepared.json").exists()
    assert "continued after" in cli.done(*line).err
    cli.done(*words, tmp_path / "clean")
    assert digests(out) == digests(tmp_path / "clean")
