"""A preparation that was killed continues, and ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hifigan_cli.data.preparation import index, shards
from hifigan_cli.data.preparation.folder import JOURNAL_FILE
from hifigan_cli.errors import OutputError
from tests.data.corpora import corpus, digests, pairs, prepare, write
from tests.helpers import hifigan, speech

CLIPS = 6
SMALL: dict[str, Any] = {"shard_bytes": 45_000}  # two of these clips
PACKED = (6, 11, 16)  # the writes of journal lines that say that a shard is packed
LAST = 17  # the write of the journal's end


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed(arrange: Callable[[], None], run: Callable[[], object]) -> None:
    """Run in a fork in which `arrange` set a trap that kills it -9; check that it did."""
    child = os.fork()
    if child == 0:
        try:
            arrange()
            run()
        finally:
            os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


def at_write(number: int, part: float) -> Callable[[], None]:
    """Arrange to die at the given write to the packed files, with `part` of it on disk."""

    def arrange() -> None:
        put, calls = shards._put, 0

        def trap(file: object, content: bytes) -> None:
            nonlocal calls
            calls += 1
            if calls == number:
                put(file, content[: int(part * len(content))])  # type: ignore[arg-type]  # a stream
                die()
            put(file, content)  # type: ignore[arg-type]  # the stream as it came

        shards._put = trap

    return arrange


def at_manifest() -> None:
    """Arrange to die when the manifest is to be written, with a stray temporary beside it."""

    def trap(path: Path, _content: bytes) -> None:
        path.with_name(f".{os.getpid()}.{path.name}.tmp").write_text("{")
        die()

    index.write_bytes = trap  # type: ignore[attr-defined,assignment]  # imported there


def after_manifest() -> None:
    """Arrange to die between the manifest and the end of the journal."""
    write_bytes = index.write_bytes  # type: ignore[attr-defined]  # imported there

    def trap(path: Path, content: bytes) -> None:
        write_bytes(path, content)
        die()

    index.write_bytes = trap  # type: ignore[attr-defined]  # imported there


@pytest.mark.parametrize("part", [0.5, 1.0])
@pytest.mark.parametrize("number", range(1, LAST + 1))
def test_killed_at_any_write_the_result_is_the_same(
    tmp_path: Path, number: int, part: float
) -> None:
    """kill -9 at any write: the same command continues after the last packed shard, and every byte
    is that of a clean run."""
    corpus(tmp_path / "in", CLIPS)
    prepare(tmp_path / "in", tmp_path / "clean", **SMALL)
    out = tmp_path / "out"
    killed(at_write(number, part), lambda: prepare(tmp_path / "in", out, **SMALL))
    assert not (out / "prepared.json").exists()
    summary = prepare(tmp_path / "in", out, **SMALL)
    assert digests(out) == digests(tmp_path / "clean")
    assert summary.state == "prepared"
    packed = sum(number > line or (number == line and part == 1.0) for line in PACKED)
    assert summary.continued_from == 2 * packed


@pytest.mark.parametrize("trap", [at_manifest, after_manifest])
def test_killed_at_the_manifest(tmp_path: Path, trap: Callable[[], None]) -> None:
    """Without a manifest only the index is written again; with one everything is done."""
    corpus(tmp_path / "in", CLIPS)
    prepare(tmp_path / "in", tmp_path / "clean")
    out = tmp_path / "out"
    killed(trap, lambda: prepare(tmp_path / "in", out))
    summary = prepare(tmp_path / "in", out)
    assert digests(out) == digests(tmp_path / "clean")
    assert summary.state == ("up to date" if trap is after_manifest else "prepared")
    assert summary.continued_from == (0 if trap is after_manifest else CLIPS)


@pytest.mark.parametrize(("clip", "number"), list(enumerate([2, 4, 7, 9, 12, 14])))
def test_killed_between_shards(tmp_path: Path, clip: int, number: int) -> None:
    """A kill within any clip's samples, the first of a shard among them, and then a smaller clip.

    A clip that no longer overflows its shard has to go into the one before, as in a clean run.
    """
    options: dict[str, Any] = {"shard_bytes": 46_000}
    corpus(tmp_path / "in", CLIPS)
    out = tmp_path / "out"
    killed(at_write(number, 0.5), lambda: prepare(tmp_path / "in", out, **options))
    write(tmp_path / "in" / f"clip{clip:03}.wav", speech(0.21, seed=55))
    prepare(tmp_path / "in", out, **options)
    prepare(tmp_path / "in", tmp_path / "clean", **options)
    assert digests(out) == digests(tmp_path / "clean")


def test_a_corpus_that_grew_after_the_last_shard(tmp_path: Path) -> None:
    """The last shard ended because the corpus did; with more clips it may take another."""
    options: dict[str, Any] = {"shard_bytes": 60_000}
    corpus(tmp_path / "in", CLIPS)
    out = tmp_path / "out"
    killed(at_manifest, lambda: prepare(tmp_path / "in", out, **options))
    write(tmp_path / "in" / "later.wav", speech(0.21, seed=56))
    prepare(tmp_path / "in", out, **options)
    prepare(tmp_path / "in", tmp_path / "clean", **options)
    assert digests(out) == digests(tmp_path / "clean")


@pytest.mark.parametrize("number", [2, 3, 4, 6])
def test_pairs_killed_anywhere(tmp_path: Path, number: int) -> None:
    """With given mels there are two packed files to keep in step."""
    pairs(tmp_path / "in", tmp_path / "mels", 3)
    prepare(tmp_path / "in", tmp_path / "clean", mels=tmp_path / "mels")
    trap = at_write(number, 0.5)
    out = tmp_path / "out"
    killed(trap, lambda: prepare(tmp_path / "in", out, mels=tmp_path / "mels"))
    prepare(tmp_path / "in", out, mels=tmp_path / "mels")
    assert digests(out) == digests(tmp_path / "clean")


def test_what_changed_meanwhile_is_done_again(tmp_path: Path) -> None:
    """A clip replaced, and one added, between the kill and the restart both count."""
    corpus(tmp_path / "in", CLIPS)
    out = tmp_path / "out"
    killed(at_write(13, 0.5), lambda: prepare(tmp_path / "in", out, **SMALL))
    write(tmp_path / "in" / "clip003.wav", speech(0.7, seed=99))
    write(tmp_path / "in" / "clip0035.wav", speech(0.6, seed=98))
    assert prepare(tmp_path / "in", out, **SMALL).continued_from == 2
    prepare(tmp_path / "in", tmp_path / "clean", **SMALL)
    assert digests(out) == digests(tmp_path / "clean")


def test_lost_samples_are_noticed(tmp_path: Path) -> None:
    """After a loss of power the journal may know more than the packed file holds."""
    corpus(tmp_path / "in", CLIPS)
    out = tmp_path / "out"
    killed(at_write(13, 1.0), lambda: prepare(tmp_path / "in", out, **SMALL))
    size = (out / "samples-00001.i16").stat().st_size
    with (out / "samples-00001.i16").open("r+b") as file:
        file.seek(size // 2)
        file.write(bytes(400))
    assert prepare(tmp_path / "in", out, **SMALL).continued_from == 2
    prepare(tmp_path / "in", tmp_path / "clean", **SMALL)
    assert digests(out) == digests(tmp_path / "clean")


def test_other_options_do_not_continue(tmp_path: Path) -> None:
    """An unfinished folder of other options is refused by name; --force starts it anew."""
    corpus(tmp_path / "in", CLIPS)
    out = tmp_path / "out"
    killed(at_write(6, 1.0), lambda: prepare(tmp_path / "in", out))
    with pytest.raises(OutputError, match=r"unfinished preparation with other options \(trim\)"):
        prepare(tmp_path / "in", out, trim=True)
    assert prepare(tmp_path / "in", out, trim=True, force=True).continued_from == 0
    prepare(tmp_path / "in", tmp_path / "clean", trim=True)
    assert digests(out) == digests(tmp_path / "clean")


LARGE = ("--workers", "2", "--shard-mb", "1")


def start(source: Path, out: Path) -> subprocess.Popen[bytes]:
    """Start the command with two processes in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "hifigan_cli", "preprocess", source, "-o", out, *LARGE],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Return a corpus that is large enough to be stopped in the middle, and what it becomes."""
    root = tmp_path_factory.mktemp("large")
    folder = corpus(root / "in", 8)
    for copy in range(300):
        os.link(folder / f"clip{copy % 8:03}.wav", folder / f"more{copy:03}.wav")
    prepare(folder, root / "clean", shard_bytes=2**20)
    return folder, digests(root / "clean")


def wait_for_lines(journal: Path, lines: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if journal.exists() and journal.read_bytes().count(b"\n") > lines:
            return
        time.sleep(0.002)
    raise TimeoutError(f"{journal} did not grow")


def session_is_empty(session: int) -> bool:
    """Tell whether no process of a session is left."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        states = [path.read_text() for path in _stats()]
        alive = [s for s in states if _field(s, 3) == str(session) and _field(s, 0) != "Z"]
        if not alive:
            return True
        time.sleep(0.05)
    return False


def _stats() -> list[Path]:
    return [path for path in Path("/proc").glob("[0-9]*/stat") if path.exists()]


def _field(stat: str, index: int) -> str:
    return stat.rpartition(")")[2].split()[index]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="counts processes in /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_the_command_is_stopped_and_continues(
    large: tuple[Path, dict[str, str]], tmp_path: Path, how: signal.Signals
) -> None:
    """With several processes: no orphans, the right exit code, and the bytes of a clean run."""
    folder, clean = large
    out = tmp_path / "out"
    process = start(folder, out)
    wait_for_lines(out / JOURNAL_FILE, 70)  # more than a packed shard has
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # Ctrl-C reaches the whole group
    else:
        process.send_signal(how)
    _, errors = process.communicate(timeout=30)
    expected = {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}
    assert process.returncode == expected[how]
    assert b"Traceback" not in errors
    if how != signal.SIGKILL:
        assert b"the same command continues" in errors
    assert session_is_empty(process.pid)
    assert not (out / "prepared.json").exists()
    run = hifigan("preprocess", folder, "-o", out, *LARGE)
    assert run.returncode == 0, run.stderr
    assert "continued after" in run.stderr
    assert digests(out) == clean
