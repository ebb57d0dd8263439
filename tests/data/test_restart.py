"""Test that a killed preparation resumes, and gives the same result as an uninterrupted one."""

from __future__ import annotations

import itertools
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from hifigan_cli.data.preparation import PreparationSummary, index, packing
from hifigan_cli.data.preparation.folder import JOURNAL_FILE
from hifigan_cli.errors import OutputError
from tests.data.corpora import digests, prepare, write, write_corpus, write_pairs
from tests.forkserver import HIFIGAN, start_with_pipes
from tests.helpers import environment, hifigan, speech

CLIPS = 6
SMALL: dict[str, Any] = {"max_file_bytes": 45_000}  # two of these clips
PACKED = (6, 11, 16)  # the writes of journal entries of packed files
LAST = 17  # the write of the journal's end


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run_until_killed(patch: Callable[[], None], run: Callable[[], object]) -> None:
    """Call `patch` and `run` in a fork; check that SIGKILL ends it."""
    child = os.fork()
    if child == 0:
        try:
            patch()
            run()
        finally:
            os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


def kill_at_write(
    number: int, fraction: float, end: Callable[[], None] = kill_self
) -> Callable[[], None]:
    """Return a function that patches writing to call `end` within a write to the packed files."""

    def patch() -> None:
        write, calls = packing._write, itertools.count(1)

        def failing_write(file: IO[bytes], content: bytes) -> None:
            if next(calls) == number:
                write(file, content[: int(fraction * len(content))])
                end()
            write(file, content)

        packing._write = failing_write

    return patch


def kill_before_manifest() -> None:
    """Patch writing to kill the process before the manifest, leaving a temporary file."""

    def failing_write(path: Path, _content: bytes) -> None:
        path.with_name(f".{os.getpid()}.{path.name}.tmp").write_text("{")
        kill_self()

    index.write_bytes = failing_write  # type: ignore[attr-defined,assignment]  # imported there


def kill_after_manifest() -> None:
    """Patch writing to kill the process between the manifest and the removal of the journal."""
    write_bytes = index.write_bytes  # type: ignore[attr-defined]  # imported there

    def failing_write(path: Path, content: bytes) -> None:
        write_bytes(path, content)
        kill_self()

    index.write_bytes = failing_write  # type: ignore[attr-defined]  # imported there


def prepare_until_killed(folder: Path, patch: Callable[[], None], **options: Any) -> None:
    """Prepare `in` into `out`, both in a folder, until the process is killed."""
    run_until_killed(patch, lambda: prepare(folder / "in", folder / "out", **options))


def resume(folder: Path, **options: Any) -> PreparationSummary:
    """Run the same command again; check that every byte equals that of an uninterrupted run."""
    summary = prepare(folder / "in", folder / "out", **options)
    prepare(folder / "in", folder / "clean", **options)
    assert digests(folder / "out") == digests(folder / "clean")
    return summary


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with a corpus `in`."""
    write_corpus(tmp_path / "in", CLIPS)
    return tmp_path


@pytest.mark.parametrize("fraction", [0.5, 1.0])
@pytest.mark.parametrize("number", range(1, LAST + 1))
def test_kill_at_any_write(root: Path, number: int, fraction: float) -> None:
    """The same command resumes after the last packed file; the result is the same."""
    prepare_until_killed(root, kill_at_write(number, fraction), **SMALL)
    assert not (root / "out" / "prepared.json").exists()
    summary = resume(root, **SMALL)
    assert summary.state == "prepared"
    packed = sum(number > line or (number == line and fraction == 1.0) for line in PACKED)
    assert summary.resumed_files == 2 * packed


@pytest.mark.parametrize("patch", [kill_before_manifest, kill_after_manifest])
def test_kill_at_manifest(root: Path, patch: Callable[[], None]) -> None:
    """Without a manifest only the index is written again; with one the folder is up to date."""
    prepare_until_killed(root, patch)
    summary = resume(root)
    assert summary.state == ("up to date" if patch is kill_after_manifest else "prepared")
    assert summary.resumed_files == (0 if patch is kill_after_manifest else CLIPS)


@pytest.mark.parametrize(("clip", "number"), list(enumerate([2, 4, 7, 9, 12, 14])))
def test_kill_then_shorter_clip(root: Path, clip: int, number: int) -> None:
    """After a kill within the samples of any clip, that clip is replaced by a shorter one.

    A clip that now fits into the file before goes there, as in an uninterrupted run.
    """
    prepare_until_killed(root, kill_at_write(number, 0.5), max_file_bytes=46_000)
    write(root / "in" / f"clip{clip:03}.wav", speech(0.21, seed=55))
    resume(root, max_file_bytes=46_000)


def test_clip_added_after_last_file(root: Path) -> None:
    """The last packed file may have space for another clip."""
    prepare_until_killed(root, kill_before_manifest, max_file_bytes=60_000)
    write(root / "in" / "later.wav", speech(0.21, seed=56))
    resume(root, max_file_bytes=60_000)


@pytest.mark.parametrize("number", [2, 3, 4, 6])
def test_kill_with_input_mels(tmp_path: Path, number: int) -> None:
    """With input mels there are two packed files to keep in sync."""
    write_pairs(tmp_path / "in", tmp_path / "mels", 3)
    prepare_until_killed(tmp_path, kill_at_write(number, 0.5), mels=tmp_path / "mels")
    resume(tmp_path, mels=tmp_path / "mels")


def test_changes_between_kill_and_restart(root: Path) -> None:
    """A clip replaced and a clip added before the restart are both prepared."""
    prepare_until_killed(root, kill_at_write(13, 0.5), **SMALL)
    write(root / "in" / "clip003.wav", speech(0.7, seed=99))
    write(root / "in" / "clip0035.wav", speech(0.6, seed=98))
    assert resume(root, **SMALL).resumed_files == 2


def test_lost_samples_are_detected(root: Path) -> None:
    """After a power loss the journal may list more than the packed file has."""
    prepare_until_killed(root, kill_at_write(13, 1.0), **SMALL)
    packed = root / "out" / "samples-00001.i16"
    with packed.open("r+b") as file:
        file.seek(packed.stat().st_size // 2)
        file.write(bytes(400))
    assert resume(root, **SMALL).resumed_files == 2


def test_full_disk(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is an OutputError; the same command continues later."""

    def refuse() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packing, "_write", packing._write)
    kill_at_write(9, 0, refuse)()
    with pytest.raises(OutputError, match="No space left"):
        prepare(root / "in", root / "out", **SMALL)
    monkeypatch.undo()
    assert resume(root, **SMALL).resumed_files == 2


def test_resume_with_other_options_is_rejected(root: Path) -> None:
    """The error names the options that differ; `force` starts again."""
    prepare_until_killed(root, kill_at_write(6, 1.0))
    with pytest.raises(OutputError, match=r"options \(trim\)"):
        prepare(root / "in", root / "out", trim=True)
    assert prepare(root / "in", root / "out", trim=True, force=True).resumed_files == 0
    assert resume(root, trim=True).state == "up to date"


LARGE = ("--workers", "2", "--max-file-mb", "1")


@pytest.fixture(scope="module")
def large_corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Return a corpus that is large enough to stop in the middle, and the digests of its result."""
    root = tmp_path_factory.mktemp("large")
    folder = write_corpus(root / "in", 8)
    for copy in range(300):
        os.link(folder / f"clip{copy % 8:03}.wav", folder / f"more{copy:03}.wav")
    prepare(folder, root / "clean", max_file_bytes=2**20)
    return folder, digests(root / "clean")


def wait_for_lines(journal: Path, lines: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if journal.exists() and journal.read_bytes().count(b"\n") > lines:
            return
        time.sleep(0.002)
    raise TimeoutError(f"{journal} did not grow")


def session_is_empty(session: int) -> bool:
    """Return whether no process of a session is left."""
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
@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_stopped_command_resumes(
    large_corpus: tuple[Path, dict[str, str]], tmp_path: Path, signal_number: signal.Signals
) -> None:
    """With several processes: no orphans, the right exit code, the bytes of a clean run."""
    folder, clean = large_corpus
    out = tmp_path / "out"
    line: list[str | Path] = ["preprocess", folder, "-o", out, *LARGE]
    process, output, errors = start_with_pipes(HIFIGAN, line, environment())
    wait_for_lines(out / JOURNAL_FILE, 70)  # more lines than one packed file
    if signal_number == signal.SIGINT:
        os.killpg(process.pid, signal_number)  # Ctrl-C reaches the process group
    else:
        process.send_signal(signal_number)
    with output, errors:
        text = errors.read()
    expected = {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}
    assert process.wait(30) == expected[signal_number]
    assert "Traceback" not in text
    if signal_number != signal.SIGKILL:
        assert "packed file" in text
    assert session_is_empty(process.pid)
    assert not (out / "prepared.json").exists()
    run = hifigan("preprocess", folder, "-o", out, *LARGE)
    assert run.returncode == 0, run.stderr
    assert re.search(r"[1-9]\d* files", run.stderr)
    assert digests(out) == clean
