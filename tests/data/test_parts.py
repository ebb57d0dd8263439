"""A preparation that several processes share: the result of one, whoever is late or killed."""

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
from hifigan_cli.data.preparation import shards
from hifigan_cli.data.preparation.folder import is_own, journal_file
from hifigan_cli.errors import OutputError, UsageError
from hifigan_cli.io.locks import locked
from hifigan_cli.runtime.sharding import WHOLE, Shard, choose_shard
from tests.data.corpora import content, corpus, digests, prepare, write
from tests.data.test_restart import at_write, killed
from tests.helpers import speech

SMALL = 45_000  # bytes a shard: two of these clips


@given(st.integers(0, 50), st.integers(1, 60))
def test_parts_share_without_rest(items: int, count: int) -> None:
    """Every item is in exactly one part, in its order, and no part has two more than another."""
    shares = [Shard(number, count).of(range(items)) for number in range(1, count + 1)]
    assert sorted(item for share in shares for item in share) == list(range(items))
    assert all(share == sorted(share) for share in shares)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b", "1.0/2"])
def test_a_part_that_is_none_is_refused(text: str) -> None:
    """The parts are 1/N to N/N."""
    with pytest.raises(UsageError, match="--shard"):
        choose_shard(text, {})


def test_ranks_count_only_under_torchrun() -> None:
    """RANK alone may be left over from something else; --shard beats both."""
    ranks = {"RANK": "2", "WORLD_SIZE": "4"}
    assert choose_shard(None, ranks) == WHOLE
    assert choose_shard(None, {**ranks, "TORCHELASTIC_RUN_ID": "x"}) == Shard(3, 4)
    assert choose_shard("1/2", {**ranks, "TORCHELASTIC_RUN_ID": "x"}) == Shard(1, 2)
    assert choose_shard(None, {"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "WORLD_SIZE": "1"}) == WHOLE


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return nine clips, one of them unfit."""
    folder = corpus(tmp_path_factory.mktemp("corpus") / "in", 9)
    (folder / "clip004.wav").write_text("no sound")
    return folder


@pytest.fixture(scope="module")
def alone(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the result of one process."""
    folder = tmp_path_factory.mktemp("alone") / "out"
    prepare(source, folder, shard_bytes=SMALL)
    return folder


def same(folder: Path, alone: Path) -> bool:
    """Tell whether two folders hold the same clips, samples, rejections and figures."""
    a, b = open_prepared(folder), open_prepared(alone)
    a.verify()
    rejected = [(path / "rejected.jsonl").read_bytes() for path in (folder, alone)]
    return (
        content(folder) == content(alone)
        and rejected[0] == rejected[1]
        and a.manifest.totals == b.manifest.totals
    )


@pytest.mark.parametrize("count", [2, 4, 12])
@pytest.mark.parametrize("backwards", [False, True])
def test_parts_one_after_another(
    source: Path, alone: Path, tmp_path: Path, count: int, backwards: bool
) -> None:
    """In any order, even with more parts than files: the last one writes the index."""
    numbers = list(range(1, count + 1))[:: -1 if backwards else 1]
    for at, number in enumerate(numbers):
        summary = prepare(source, tmp_path, Shard(number, count), shard_bytes=SMALL)
        assert summary.waiting == tuple(sorted(numbers[at + 1 :]))
        assert summary.state == ("part done" if summary.waiting else "prepared")
    assert same(tmp_path, alone)
    assert not list(tmp_path.glob("journal*"))
    assert not list(tmp_path.glob(".lock*"))
    before = digests(tmp_path)
    for part in (Shard(1, count), Shard(1, 3), WHOLE):
        assert prepare(source, tmp_path, part, shard_bytes=SMALL).state == "up to date"
    assert digests(tmp_path) == before


@pytest.mark.parametrize("write_number", [1, 2, 4, 5, 10])
def test_a_killed_part_is_continued(
    source: Path, alone: Path, tmp_path: Path, write_number: int
) -> None:
    """kill -9 of one of two, at any write: the same command again, and all is as ever."""
    options = {"shard_bytes": SMALL}
    killed(at_write(write_number, 0.5), lambda: prepare(source, tmp_path, Shard(1, 2), **options))
    assert prepare(source, tmp_path, Shard(2, 2), **options).waiting == (1,)
    assert not (tmp_path / "prepared.json").exists()
    assert prepare(source, tmp_path, Shard(1, 2), **options).state == "prepared"
    assert same(tmp_path, alone)


def test_a_part_that_is_done_is_checked_again(source: Path, alone: Path, tmp_path: Path) -> None:
    """Started twice, a part keeps what it has; what was spoiled meanwhile is done anew."""
    options = {"shard_bytes": SMALL}
    prepare(source, tmp_path, Shard(2, 2), **options)
    packed = tmp_path / "samples-00003.i16"
    packed.write_bytes(packed.read_bytes()[:-100])
    again = prepare(source, tmp_path, Shard(2, 2), **options)
    assert again.continued_from == 2
    assert again.waiting == (1,)
    assert prepare(source, tmp_path, Shard(2, 2), **options).continued_from == 4
    prepare(source, tmp_path, Shard(1, 2), **options)
    assert same(tmp_path, alone)


def test_a_corpus_that_grows_between_the_parts(tmp_path: Path) -> None:
    """A part that counted other files is not taken for done."""
    folder = corpus(tmp_path / "in", 4)
    out = tmp_path / "out"
    prepare(folder, out, Shard(1, 2))
    write(folder / "clip0005.wav", speech(0.5, seed=77))
    assert prepare(folder, out, Shard(2, 2)).waiting == (1,)
    assert prepare(folder, out, Shard(1, 2)).state == "prepared"
    prepare(folder, tmp_path / "alone")
    assert same(out, tmp_path / "alone")


def test_other_cuts_do_not_mix(source: Path, alone: Path, tmp_path: Path) -> None:
    """An unfinished preparation of two parts is continued by two, or replaced by one alone."""
    prepare(source, tmp_path, Shard(1, 2), shard_bytes=SMALL)
    for part in (Shard(1, 3), WHOLE):
        with pytest.raises(OutputError, match="unfinished preparation in 2 parts") as caught:
            prepare(source, tmp_path, part, shard_bytes=SMALL)
        assert "--shard I/2" in str(caught.value.hint)
    with pytest.raises(UsageError, match="--force"):
        prepare(source, tmp_path, Shard(1, 2), force=True)
    with locked(tmp_path, ".lock-1-of-2"), pytest.raises(OutputError, match="in use by pid"):
        prepare(source, tmp_path, shard_bytes=SMALL, force=True)
    prepare(source, tmp_path, shard_bytes=SMALL, force=True)
    assert digests(tmp_path) == digests(alone)


def test_one_part_is_not_done_twice_at_once(source: Path, tmp_path: Path) -> None:
    """Two processes with the same --shard would spoil each other's files."""
    with locked(tmp_path, ".lock-2-of-2"), pytest.raises(OutputError, match="in use by pid"):
        prepare(source, tmp_path, Shard(2, 2))
    prepare(source, tmp_path, Shard(2, 2))


def test_a_part_tells_what_it_did(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The summary is of the part, and says whom the index waits for; so does the plan."""
    line = ["preprocess", str(source), "-o", str(tmp_path), "--workers", "1", "--shard"]
    assert command([*line, "2/3", "--dry-run"]) == 0
    assert "part 2/3: 3 files" in capsys.readouterr().out
    assert command([*line, "2/3"]) == 0
    told = capsys.readouterr().err
    assert "part 2/3: 2 clips" in told
    assert "1 left out" in told
    assert "not finished yet: 1/3, 3/3" in told
    assert command([*line, "1/3", "--json"]) == 0
    event = json.loads(capsys.readouterr().out)
    assert (event["shard"], event["state"], event["waiting"]) == ("1/3", "part done", [3])
    assert event["own"]["clips"] == 3
    assert command([*line, "3/3", "--json"]) == 0
    event = json.loads(capsys.readouterr().out)
    assert event["state"] == "prepared"
    assert event["training"]["clips"] + event["validation"]["clips"] == 8
    assert command([*line, "4/3"]) == 2


def foreign_at_any_moment(out: Path, run: Callable[[], object]) -> set[str]:
    """Run in a fork; look into a folder at each call to the system; return names not of ours."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code, looking = 1, False

        def look(event: str, _: object) -> None:
            nonlocal looking
            if looking or not event.startswith(("open", "os.")) or not out.is_dir():
                return
            looking = True  # not at the looking itself
            for entry in out.iterdir():
                if not is_own(entry.name):
                    os.write(writing, f"{entry.name}\n".encode())
            looking = False

        try:
            sys.addaudithook(look)
            run()
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "r") as stream:
        found = set(stream.read().splitlines())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return found


def test_a_part_at_work_leaves_nothing_foreign_to_the_others(source: Path, tmp_path: Path) -> None:
    """A rank that begins while another writes its lock, journal or index takes all for ours."""

    def both() -> None:
        for number in (1, 2):
            prepare(source, tmp_path / "out", Shard(number, 2), shard_bytes=SMALL)

    assert foreign_at_any_moment(tmp_path / "out", both) == set()
    stranger = tmp_path / "out" / "notes.txt"
    stranger.touch()  # what is foreign would be seen
    assert foreign_at_any_moment(tmp_path / "out", stranger.read_text) == {stranger.name}


def torchrun(count: int, *words: str | Path) -> list[str]:
    """Return the command line of `hifigan` in several processes."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return [*launcher, "--nproc-per-node", str(count), "-m", "hifigan_cli", *map(str, words)]


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}


def test_another_process_removes_the_journal(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shard that has settled its files has its totals, whoever writes the index meanwhile."""
    settle = shards.ShardWriter.finish

    def finish(writer: shards.ShardWriter, listing: str) -> None:
        settle(writer, listing)
        (tmp_path / "out" / journal_file(Shard(1, 2))).unlink()

    monkeypatch.setattr(shards.ShardWriter, "finish", finish)
    summary = prepare(source, tmp_path / "out", Shard(1, 2), shard_bytes=SMALL)
    assert summary.own is not None
    assert summary.own["clips"] == 4
    assert summary.totals == {}


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_under_torchrun(source: Path, alone: Path, tmp_path: Path, count: int) -> None:
    """Each rank takes its part at the same time; together they make what one alone makes."""
    line = torchrun(count, "preprocess", source, "-o", tmp_path / "out", "--workers", "1")
    run = subprocess.run(
        line, env=ENVIRONMENT, capture_output=True, text=True, timeout=200, check=False
    )
    assert run.returncode == 0, run.stderr
    assert same(tmp_path / "out", alone)
    for number in range(1, count + 1):
        assert f"part {number}/{count}: " in run.stderr


def test_at_the_same_time_and_one_killed(source: Path, alone: Path, tmp_path: Path) -> None:
    """Four processes at once, one of them killed -9 in mid-work and started again."""
    children = []
    for number in range(1, 5):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                if number == 3:
                    at_write(4, 0.5)()
                prepare(source, tmp_path, Shard(number, 4), shard_bytes=SMALL)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert ends == [0, 0, -signal.SIGKILL, 0]
    assert prepare(source, tmp_path, Shard(3, 4), shard_bytes=SMALL).state == "prepared"
    assert same(tmp_path, alone)
