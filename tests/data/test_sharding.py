"""Test a preparation shared by several processes: the result equals that of a single process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hifigan_cli.cli.main import run as command
from hifigan_cli.data import open_prepared
from hifigan_cli.data.preparation import packing
from hifigan_cli.data.preparation.folder import is_preparation_file, journal_file
from hifigan_cli.errors import OutputError, UsageError
from hifigan_cli.io.locks import folder_lock
from hifigan_cli.runtime.sharding import UNSHARDED, Shard, resolve_shard
from tests.data.corpora import content, digests, prepare, write, write_corpus
from tests.data.test_restart import kill_at_write, run_until_killed
from tests.helpers import speech

SMALL = 45_000  # bytes per shard: two of these clips


@given(st.integers(0, 50), st.integers(1, 60))
def test_shards_partition_items(items: int, count: int) -> None:
    """Every item is in exactly one shard, in order; shard sizes differ by at most one."""
    shares = [Shard(number, count).select(range(items)) for number in range(1, count + 1)]
    assert sorted(item for share in shares for item in share) == list(range(items))
    assert all(share == sorted(share) for share in shares)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b", "1.0/2"])
def test_invalid_shards_are_rejected(text: str) -> None:
    """Valid shards are 1/N to N/N."""
    with pytest.raises(UsageError, match="--shard"):
        resolve_shard(text, {})


def test_ranks_apply_only_under_torchrun() -> None:
    """RANK may be set by another launcher; --shard overrides both."""
    ranks = {"RANK": "2", "WORLD_SIZE": "4"}
    assert resolve_shard(None, ranks) == UNSHARDED
    assert resolve_shard(None, {**ranks, "TORCHELASTIC_RUN_ID": "x"}) == Shard(3, 4)
    assert resolve_shard("1/2", {**ranks, "TORCHELASTIC_RUN_ID": "x"}) == Shard(1, 2)
    assert (
        resolve_shard(None, {"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "WORLD_SIZE": "1"})
        == UNSHARDED
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return nine clips, one of them unusable."""
    folder = write_corpus(tmp_path_factory.mktemp("corpus") / "in", 9)
    (folder / "clip004.wav").write_text("no audio")
    return folder


@pytest.fixture(scope="module")
def unsharded(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the result of a single process."""
    folder = tmp_path_factory.mktemp("unsharded") / "out"
    prepare(source, folder, max_file_bytes=SMALL)
    return folder


def is_same(folder: Path, unsharded: Path) -> bool:
    """Return whether two folders have the same clips, samples, rejections and totals."""
    a, b = open_prepared(folder), open_prepared(unsharded)
    a.verify()
    rejected = [(path / "rejected.jsonl").read_bytes() for path in (folder, unsharded)]
    return (
        content(folder) == content(unsharded)
        and rejected[0] == rejected[1]
        and a.manifest.totals == b.manifest.totals
    )


@pytest.mark.parametrize("count", [2, 4, 12])
@pytest.mark.parametrize("backwards", [False, True])
def test_sequential_shards(
    source: Path, unsharded: Path, tmp_path: Path, count: int, backwards: bool
) -> None:
    """In any order, even with more shards than files, the last one writes the index."""
    numbers = list(range(1, count + 1))[:: -1 if backwards else 1]
    for index, number in enumerate(numbers):
        summary = prepare(source, tmp_path, Shard(number, count), max_file_bytes=SMALL)
        assert summary.unfinished_shards == tuple(sorted(numbers[index + 1 :]))
        assert summary.state == ("shard done" if summary.unfinished_shards else "prepared")
    assert is_same(tmp_path, unsharded)
    assert not list(tmp_path.glob("journal*"))
    assert not list(tmp_path.glob(".lock*"))
    before = digests(tmp_path)
    for shard in (Shard(1, count), Shard(1, 3), UNSHARDED):
        assert prepare(source, tmp_path, shard, max_file_bytes=SMALL).state == "up to date"
    assert digests(tmp_path) == before


@pytest.mark.parametrize("write_number", [1, 2, 4, 5, 10])
def test_killed_shard_resumes(
    source: Path, unsharded: Path, tmp_path: Path, write_number: int
) -> None:
    """After SIGKILL at any write of one of two shards, the same command completes it."""
    options = {"max_file_bytes": SMALL}
    run_until_killed(
        kill_at_write(write_number, 0.5), lambda: prepare(source, tmp_path, Shard(1, 2), **options)
    )
    assert prepare(source, tmp_path, Shard(2, 2), **options).unfinished_shards == (1,)
    assert not (tmp_path / "prepared.json").exists()
    assert prepare(source, tmp_path, Shard(1, 2), **options).state == "prepared"
    assert is_same(tmp_path, unsharded)


def test_finished_shard_is_verified_again(source: Path, unsharded: Path, tmp_path: Path) -> None:
    """A shard that runs twice keeps its valid files and prepares damaged ones again."""
    options = {"max_file_bytes": SMALL}
    prepare(source, tmp_path, Shard(2, 2), **options)
    packed = tmp_path / "samples-00003.i16"
    packed.write_bytes(packed.read_bytes()[:-100])
    again = prepare(source, tmp_path, Shard(2, 2), **options)
    assert again.resumed_files == 2
    assert again.unfinished_shards == (1,)
    assert prepare(source, tmp_path, Shard(2, 2), **options).resumed_files == 4
    prepare(source, tmp_path, Shard(1, 2), **options)
    assert is_same(tmp_path, unsharded)


def test_corpus_grows_between_shards(tmp_path: Path) -> None:
    """A shard with another list of files is not finished."""
    folder = write_corpus(tmp_path / "in", 4)
    out = tmp_path / "out"
    prepare(folder, out, Shard(1, 2))
    write(folder / "clip0005.wav", speech(0.5, seed=77))
    assert prepare(folder, out, Shard(2, 2)).unfinished_shards == (1,)
    assert prepare(folder, out, Shard(1, 2)).state == "prepared"
    prepare(folder, tmp_path / "unsharded")
    assert is_same(out, tmp_path / "unsharded")


def test_shard_counts_do_not_mix(source: Path, unsharded: Path, tmp_path: Path) -> None:
    """Two unfinished shards continue as two, or a run without shards replaces them."""
    prepare(source, tmp_path, Shard(1, 2), max_file_bytes=SMALL)
    for shard in (Shard(1, 3), UNSHARDED):
        with pytest.raises(OutputError, match="2 shards") as caught:
            prepare(source, tmp_path, shard, max_file_bytes=SMALL)
        assert "--shard I/2" in str(caught.value.hint)
    with pytest.raises(UsageError, match="--force"):
        prepare(source, tmp_path, Shard(1, 2), force=True)
    with folder_lock(tmp_path, ".lock-1-of-2"), pytest.raises(OutputError, match="pid"):
        prepare(source, tmp_path, max_file_bytes=SMALL, force=True)
    prepare(source, tmp_path, max_file_bytes=SMALL, force=True)
    assert digests(tmp_path) == digests(unsharded)


def test_same_shard_cannot_run_twice_at_once(source: Path, tmp_path: Path) -> None:
    """Two processes with the same --shard would damage each other's files."""
    with folder_lock(tmp_path, ".lock-2-of-2"), pytest.raises(OutputError, match="pid"):
        prepare(source, tmp_path, Shard(2, 2))
    prepare(source, tmp_path, Shard(2, 2))


def test_shard_reports_its_work(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The summary and the plan are those of the shard, with the unfinished shards."""
    line = ["preprocess", str(source), "-o", str(tmp_path), "--workers", "1", "--shard"]
    assert command([*line, "2/3", "--dry-run"]) == 0
    assert "shard 2/3: 3 files" in capsys.readouterr().out
    assert command([*line, "2/3"]) == 0
    printed = capsys.readouterr().err
    assert "shard 2/3: 2 clips" in printed
    assert "1 rejected" in printed
    assert "1/3, 3/3" in printed
    assert command([*line, "1/3", "--json"]) == 0
    event = json.loads(capsys.readouterr().out)
    assert (event["shard"], event["state"], event["unfinished_shards"]) == (
        "1/3",
        "shard done",
        [3],
    )
    assert event["shard_totals"]["clips"] == 3
    assert command([*line, "3/3", "--json"]) == 0
    event = json.loads(capsys.readouterr().out)
    assert event["state"] == "prepared"
    assert event["training"]["clips"] + event["validation"]["clips"] == 8
    assert command([*line, "4/3"]) == 2


def foreign_files_during(out: Path, run: Callable[[], object]) -> set[str]:
    """Run in a fork; list a folder at each system call; return names of no preparation file."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code, listing = 1, False

        def list_folder(event: str, _: object) -> None:
            nonlocal listing
            if listing or not event.startswith(("open", "os.")) or not out.is_dir():
                return
            listing = True  # ignore the events of the listing itself
            for entry in out.iterdir():
                if not is_preparation_file(entry.name):
                    os.write(writer, f"{entry.name}\n".encode())
            listing = False

        try:
            sys.addaudithook(list_folder)
            run()
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "r") as stream:
        names = set(stream.read().splitlines())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return names


def test_running_shard_has_only_known_files(source: Path, tmp_path: Path) -> None:
    """A shard accepts the lock, journal and index that another one writes."""

    def both() -> None:
        for number in (1, 2):
            prepare(source, tmp_path / "out", Shard(number, 2), max_file_bytes=SMALL)

    assert foreign_files_during(tmp_path / "out", both) == set()
    other_file = tmp_path / "out" / "notes.txt"
    other_file.touch()  # other files are detected
    assert foreign_files_during(tmp_path / "out", other_file.read_text) == {other_file.name}


def torchrun_command(count: int, *words: str | Path) -> list[str]:
    """Return the command line of `hifigan` in several processes."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return [*launcher, "--nproc-per-node", str(count), "-m", "hifigan_cli", *map(str, words)]


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}


def test_another_process_removes_the_journal(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finished shard has its totals, even if another process writes the index meanwhile."""
    settle = packing.PackedFileWriter.finish

    def finish(writer: packing.PackedFileWriter, paths_sha256: str) -> None:
        settle(writer, paths_sha256)
        (tmp_path / "out" / journal_file(Shard(1, 2))).unlink()

    monkeypatch.setattr(packing.PackedFileWriter, "finish", finish)
    summary = prepare(source, tmp_path / "out", Shard(1, 2), max_file_bytes=SMALL)
    assert summary.shard_totals is not None
    assert summary.shard_totals["clips"] == 4
    assert summary.totals == {}


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_under_torchrun(source: Path, unsharded: Path, tmp_path: Path, count: int) -> None:
    """The ranks prepare their shards at the same time, with the result of a single process."""
    line = torchrun_command(count, "preprocess", source, "-o", tmp_path / "out", "--workers", "1")
    run = subprocess.run(
        line, env=ENVIRONMENT, capture_output=True, text=True, timeout=200, check=False
    )
    assert run.returncode == 0, run.stderr
    assert is_same(tmp_path / "out", unsharded)
    for number in range(1, count + 1):
        assert f"shard {number}/{count}: " in run.stderr


def test_concurrent_shards_with_one_killed(source: Path, unsharded: Path, tmp_path: Path) -> None:
    """Four processes run at once; one is killed with SIGKILL and started again."""
    children = []
    for number in range(1, 5):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                if number == 3:
                    kill_at_write(4, 0.5)()
                prepare(source, tmp_path, Shard(number, 4), max_file_bytes=SMALL)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert ends == [0, 0, -signal.SIGKILL, 0]
    assert prepare(source, tmp_path, Shard(3, 4), max_file_bytes=SMALL).state == "prepared"
    assert is_same(tmp_path, unsharded)
