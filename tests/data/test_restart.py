"""A preparation that was killed continues, and ends as if nothing had happened."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from hifigan_cli.data.preparation import PreparationSummary, index, shards
from hifigan_cli.data.preparation.folder import JOURNAL_FILE
from hifigan_cli.errors import OutputError
from tests.data.corpora import corpus, digests, pairs, prepare, write
from tests.forkserver import HIFIGAN, start_with_pipes
from tests.helpers import environment, hifigan, speech

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


def at_write(number: int, part: float, end: Callable[[], None] = die) -> Callable[[], None]:
    """Arrange to end at the given write to the packed files, with `part` of it on disk."""

    def arrange() -> None:
        put, calls = shards._put, itertools.count(1)

        def trap(file: IO[bytes], content: bytes) -> None:
            if next(calls) == number:
                put(file, content[: int(part * len(content))])
                end()
            put(file, content)

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


def kill(folder: Path, arrange: Callable[[], None], **options: Any) -> None:
    """Prepare `in` into `out`, both in a folder, until the trap kills the run."""
    killed(arrange, lambda: prepare(folder / "in", folder / "out", **options))


def continued(folder: Path, **options: Any) -> PreparationSummary:
    """Run the same command again; check that every byte is that of a run that nothing disturbed."""
    summary = prepare(folder / "in", folder / "out", **options)
    prepare(folder / "in", folder / "clean", **options)
    assert digests(folder / "out") == digests(folder / "clean")
    return summary


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with a corpus in it, `in`."""
    corpus(tmp_path / "in", CLIPS)
    return tmp_path


@pytest.mark.parametrize("part", [0.5, 1.0])
@pytest.mark.parametrize("number", range(1, LAST + 1))
def test_killed_at_any_write_the_result_is_the_same(root: Path, number: int, part: float) -> None:
    """kill -9 at any write: the same command continues after the last packed shard, and every byte
    is that of a clean run."""
    kill(root, at_write(number, part), **SMALL)
    assert not (root / "out" / "prepared.json").exists()
    summary = continued(root, **SMALL)
    assert summary.state == "prepared"
    packed = sum(number > line or (number == line and part == 1.0) for line in PACKED)
    assert summary.continued_from == 2 * packed


@pytest.mark.parametrize("trap", [at_manifest, after_manifest])
def test_killed_at_the_manifest(root: Path, trap: Callable[[], None]) -> None:
    """Without a manifest only the index is written again; with one everything is done."""
    kill(root, trap)
    summary = continued(root)
    assert summary.state == ("up to date" if trap is after_manifest else "prepared")
    assert summary.continued_from == (0 if trap is after_manifest else CLIPS)


@pytest.mark.parametrize(("clip", "number"), list(enumerate([2, 4, 7, 9, 12, 14])))
def test_killed_between_shards(root: Path, clip: int, number: int) -> None:
    """A kill within any clip's samples, the first of a shard among them, and then a smaller clip.

    A clip that no longer overflows its shard has to go into the one before, as in a clean run.
    """
    kill(root, at_write(number, 0.5), shard_bytes=46_000)
    write(root / "in" / f"clip{clip:03}.wav", speech(0.21, seed=55))
    continued(root, shard_bytes=46_000)


def test_a_corpus_that_grew_after_the_last_shard(root: Path) -> None:
    """The last shard ended because the corpus did; with more clips it may take another."""
    kill(root, at_manifest, shard_bytes=60_000)
    write(root / "in" / "later.wav", speech(0.21, seed=56))
    continued(root, shard_bytes=60_000)


@pytest.mark.parametrize("number", [2, 3, 4, 6])
def test_pairs_killed_anywhere(tmp_path: Path, number: int) -> None:
    """With given mels there are two packed files to keep in step."""
    pairs(tmp_path / "in", tmp_path / "mels", 3)
    kill(tmp_path, at_write(number, 0.5), mels=tmp_path / "mels")
    continued(tmp_path, mels=tmp_path / "mels")


def test_what_changed_meanwhile_is_done_again(root: Path) -> None:
    """A clip replaced, and one added, between the kill and the restart both count."""
    kill(root, at_write(13, 0.5), **SMALL)
    write(root / "in" / "clip003.wav", speech(0.7, seed=99))
    write(root / "in" / "clip0035.wav", speech(0.6, seed=98))
    assert continued(root, **SMALL).continued_from == 2


def test_lost_samples_are_noticed(root: Path) -> None:
    """After a loss of power the journal may know more than the packed file holds."""
    kill(root, at_write(13, 1.0), **SMALL)
    packed = root / "out" / "samples-00001.i16"
    with packed.open("r+b") as file:
        file.seek(packed.stat().st_size // 2)
        file.write(bytes(400))
    assert continued(root, **SMALL).continued_from == 2


def test_a_full_disk_ends_cleanly(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room is exit 4; what is done stays, and the same command continues."""

    def refuse() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shards, "_put", shards._put)
    at_write(9, 0, refuse)()
    with pytest.raises(OutputError, match="No space left"):
        prepare(root / "in", root / "out", **SMALL)
    monkeypatch.undo()
    assert continued(root, **SMALL).continued_from == 2


def test_other_options_do_not_continue(root: Path) -> None:
    """An unfinished folder of other options is refused by name; --force starts it anew."""
    kill(root, at_write(6, 1.0))
    with pytest.raises(OutputError, match=r"unfinished preparation with other options \(trim\)"):
        prepare(root / "in", root / "out", trim=True)
    assert prepare(root / "in", root / "out", trim=True, force=True).continued_from == 0
    assert continued(root, trim=True).state == "up to date"


LARGE = ("--workers", "2", "--shard-mb", "1")


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
    line: list[str | Path] = ["preprocess", folder, "-o", out, *LARGE]
    process, output, errors = start_with_pipes(HIFIGAN, line, environment())
    wait_for_lines(out / JOURNAL_FILE, 70)  # more than a packed shard has
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # Ctrl-C reaches the whole group
    else:
        process.send_signal(how)
    with output, errors:
        text = errors.read()
    expected = {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}
    assert process.wait(30) == expected[how]
    assert "Traceback" not in text
    if how != signal.SIGKILL:
        assert "the same command continues" in text
    assert session_is_empty(process.pid)
    assert not (out / "prepared.json").exists()
    run = hifigan("preprocess", folder, "-o", out, *LARGE)
    assert run.returncode == 0, run.stderr
    assert "continued after" in run.stderr
    assert digests(out) == clean
