"""Three stages at once: the same results, in order; a failure is its file's own; no half files."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from hifigan_cli.errors import (
    DamagedError,
    DeviceError,
    HifiganError,
    InputError,
    InterruptedRunError,
    ModelError,
    OutputError,
)
from hifigan_cli.io.files import replacing
from hifigan_cli.synthesis import overlap
from hifigan_cli.synthesis.events import FileProgress
from hifigan_cli.synthesis.jobs import Job, JobList, JobResults
from hifigan_cli.synthesis.overlap import run_overlapped

Block = npt.NDArray[np.float32]
BLOCKS = 9  # more than the queue holds


class Bench:
    """Stages that read a number, repeat it, and write it down; `fail` raises where it is told to.

    `fail` maps (stage, number of the file) to an error; stages: read, make, middle, write, told.
    """

    def __init__(self, folder: Path, count: int, fail: dict[tuple[str, int], Exception]) -> None:
        self.folder, self.fail = folder, fail
        self.told: list[str] = []
        self.groups: list[int] = []
        self.group_size = 1
        self.threads: dict[str, set[str]] = {"read": set(), "make": set(), "write": set()}
        for number in range(count):
            (folder / f"{number}.in").write_text(str(number))
        out = folder / "out"
        jobs = [Job(folder / f"{n}.in", out / f"{n}.txt") for n in range(count)]
        self.batch = JobList(tuple(jobs), out, many=True)

    def _at(self, stage: str, number: int) -> None:
        if stage in self.threads:
            self.threads[stage].add(threading.current_thread().name)
        if error := self.fail.get((stage, number)):
            raise error

    def open(self, source: Path) -> int:
        number = int(source.read_text())
        self._at("read", number)
        return number

    def read_ahead(self, number: int) -> None:
        """Read nothing more."""

    def synthesize(self, numbers: Sequence[int]) -> list[Iterator[Block]]:
        self.groups.append(len(numbers))
        return [self.make_one(number) for number in numbers]

    def make_one(self, number: int) -> Iterator[Block]:
        self._at("make", number)

        def blocks() -> Iterator[Block]:
            for place in range(BLOCKS):
                if place == BLOCKS // 2:
                    self._at("middle", number)
                yield np.full((1, 3), number, np.float32)

        return blocks()

    def write(self, job: Job, number: int, blocks: Iterator[Block]) -> str:
        with replacing(job.target) as temporary:
            first = next(blocks)
            temporary.write_text(str(first))
            self._at("write", number)
            temporary.write_text("".join(str(block.sum()) + "\n" for block in (first, *blocks)))
        return job.source.stem

    def written(self, written: str) -> None:
        self._at("told", int(written))
        self.told.append(written)

    def run(self, *, force: bool = False) -> JobResults:
        reported: list[object] = []
        batch = replace(self.batch, force=force)
        result = run_overlapped(batch, self, reported.append)
        done = (FileProgress(n, len(batch.jobs), job.source) for n, job in enumerate(batch.jobs, 1))
        assert reported == [FileProgress(0, len(batch.jobs)), *done]
        return result

    def made(self) -> list[str]:
        out = self.folder / "out"
        names = [path.name for path in out.iterdir()] if out.exists() else []
        return sorted(names, key=lambda name: (len(name), name))


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Bench]:
    """Make a bench of some files."""
    return lambda count, fail=None: Bench(tmp_path, count, fail or {})


def test_all_are_done_in_order(bench: Callable[..., Bench]) -> None:
    """Every file's own numbers, told in order; three threads have worked."""
    at = bench(12)
    assert at.run().done == 12
    assert at.told == [str(n) for n in range(12)]
    for number in range(12):
        text = (at.folder / "out" / f"{number}.txt").read_text()
        assert text == f"{3.0 * number}\n" * BLOCKS
    names = [next(iter(names)) for names in at.threads.values() if len(names) == 1]
    assert len(set(names)) == 3
    again = at.run()
    assert (again.done, again.skipped) == (0, 12)
    assert at.run(force=True).done == 12


@pytest.mark.parametrize("stage", ["read", "make", "middle", "write"])
@pytest.mark.parametrize("kind", [InputError, DamagedError, OutputError])
@pytest.mark.parametrize("together", [1, 3])
def test_a_failure_is_the_files_own(
    stage: str, kind: type[HifiganError], together: int, bench: Callable[..., Bench]
) -> None:
    """Wherever a file fails, the others are made, and of it nothing is left."""
    bad = (0, 3, 4, 7)
    at = bench(8, {(stage, number): kind(f"bad {number}") for number in bad})
    at.group_size = together
    outcome = at.run()
    assert outcome.done == 4
    assert [error.message for _, error in outcome.failures] == [f"bad {n}" for n in bad]
    assert at.made() == ["1.txt", "2.txt", "5.txt", "6.txt"]


@pytest.mark.parametrize("stage", ["read", "make", "middle", "write", "told"])
@pytest.mark.parametrize(
    "error", [DeviceError("lost"), ModelError("x"), InterruptedRunError("stopped", 2), ValueError()]
)
def test_what_concerns_all_ends_all(
    stage: str, error: Exception, bench: Callable[..., Bench]
) -> None:
    """A lost device, a signal, a bug: raised at once, no thread left, nothing half written."""
    at = bench(30, {(stage, 2): error})
    before = threading.active_count()
    with pytest.raises(type(error)):
        at.run()
    for thread in threading.enumerate():
        if thread.daemon and thread is not threading.current_thread():
            thread.join(2)
    assert threading.active_count() == before
    assert not [name for name in at.made() if name.startswith(".")]
    assert len(at.made()) < 8
    assert at.made() == [f"{n}.txt" for n in range(len(at.made()))]


def test_the_stages_work_at_the_same_time(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While file 1 is made, file 2 is read and file 0 is still being written."""
    at = bench(4)
    reading, writing = threading.Event(), threading.Event()
    read, make, write = at.open, at.make_one, at.write

    def slow_read(source: Path) -> int:
        if source.stem == "2":
            reading.set()
        return read(source)

    def slow_make(number: int) -> Iterator[Block]:
        if number == 1:
            assert reading.wait(10), "file 2 is not read while file 1 is made"
            writing.set()
        return make(number)

    def slow_write(job: Job, number: int, blocks: Iterator[Block]) -> str:
        result = write(job, number, blocks)
        if number == 0:
            assert writing.wait(10), "file 1 is not made while file 0 is written"
        return result

    monkeypatch.setattr(at, "open", slow_read)
    monkeypatch.setattr(at, "make_one", slow_make)
    monkeypatch.setattr(at, "write", slow_write)
    assert at.run().done == 4


def test_files_are_made_together(bench: Callable[..., Bench]) -> None:
    """What is read while a group is made comes in the next group; the results are the same."""
    at = bench(40)
    at.group_size = 8
    at.run()
    assert at.told == [str(n) for n in range(40)]
    assert sum(at.groups) == 40
    assert 1 < max(at.groups) <= 8


def test_long_files_go_alone(bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that may be hours long is read when all before it are through, and none beside it."""
    monkeypatch.setattr(overlap, "_LONG_BYTES", 0)
    at = bench(5)
    open_files: set[int] = set()
    most = 0
    read, write = at.open, at.write

    def counting_read(source: Path) -> int:
        nonlocal most
        number = read(source)
        open_files.add(number)
        most = max(most, len(open_files))
        return number

    def counting_write(job: Job, number: int, blocks: Iterator[Block]) -> str:
        result = write(job, number, blocks)
        open_files.discard(number)
        return result

    monkeypatch.setattr(at, "open", counting_read)
    monkeypatch.setattr(at, "write", counting_write)
    assert at.run().done == 5
    assert most == 1
