"""Concurrent stages: results in order, errors of single files, and no partial files."""

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
from hifigan_cli.io.files import atomic_replace
from hifigan_cli.synthesis import job_runner
from hifigan_cli.synthesis.events import FileProgress
from hifigan_cli.synthesis.job_runner import run_jobs
from hifigan_cli.synthesis.jobs import Job, JobList, JobResults

Block = npt.NDArray[np.float32]
BLOCKS = 9  # more than the queue's size


class FakeStages:
    """Stages that read a number from a file, and write it repeatedly into another.

    `errors` maps (stage, file number) to an error to raise. The stages are read, synthesize,
    middle (of the blocks), write and report.
    """

    def __init__(self, folder: Path, count: int, errors: dict[tuple[str, int], Exception]) -> None:
        self.folder, self.errors = folder, errors
        self.reported: list[str] = []
        self.groups: list[int] = []
        self.group_size = 1
        self.threads: dict[str, set[str]] = {"read": set(), "synthesize": set(), "write": set()}
        for number in range(count):
            (folder / f"{number}.in").write_text(str(number))
        out = folder / "out"
        jobs = [Job(folder / f"{n}.in", out / f"{n}.txt") for n in range(count)]
        self.job_list = JobList(tuple(jobs), out, is_multi_file=True)

    def _enter(self, stage: str, number: int) -> None:
        if stage in self.threads:
            self.threads[stage].add(threading.current_thread().name)
        if error := self.errors.get((stage, number)):
            raise error

    def open(self, source: Path) -> int:
        number = int(source.read_text())
        self._enter("read", number)
        return number

    def read_ahead(self, number: int) -> None:
        """Read nothing more."""

    def synthesize(self, numbers: Sequence[int]) -> list[Iterator[Block]]:
        self.groups.append(len(numbers))
        return [self.synthesize_one(number) for number in numbers]

    def synthesize_one(self, number: int) -> Iterator[Block]:
        self._enter("synthesize", number)

        def blocks() -> Iterator[Block]:
            for index in range(BLOCKS):
                if index == BLOCKS // 2:
                    self._enter("middle", number)
                yield np.full((1, 3), number, np.float32)

        return blocks()

    def write(self, job: Job, number: int, blocks: Iterator[Block]) -> str:
        with atomic_replace(job.target) as temporary:
            first = next(blocks)
            temporary.write_text(str(first))
            self._enter("write", number)
            temporary.write_text("".join(str(block.sum()) + "\n" for block in (first, *blocks)))
        return job.source.stem

    def report_written(self, result: str) -> None:
        self._enter("report", int(result))
        self.reported.append(result)

    def run(self, *, force: bool = False) -> JobResults:
        events: list[object] = []
        job_list = replace(self.job_list, force=force)
        result = run_jobs(job_list, self, events.append)
        done = (
            FileProgress(n, len(job_list.jobs), job.source)
            for n, job in enumerate(job_list.jobs, 1)
        )
        assert events == [FileProgress(0, len(job_list.jobs)), *done]
        return result

    def output_names(self) -> list[str]:
        out = self.folder / "out"
        names = [path.name for path in out.iterdir()] if out.exists() else []
        return sorted(names, key=lambda name: (len(name), name))


@pytest.fixture
def create_stages(tmp_path: Path) -> Callable[..., FakeStages]:
    """Return a function that creates fake stages for `count` files."""
    return lambda count, errors=None: FakeStages(tmp_path, count, errors or {})


def test_results_are_in_order(create_stages: Callable[..., FakeStages]) -> None:
    """Each output belongs to its input, results are in order, and three threads have run."""
    stages = create_stages(12)
    assert stages.run().done == 12
    assert stages.reported == [str(n) for n in range(12)]
    for number in range(12):
        text = (stages.folder / "out" / f"{number}.txt").read_text()
        assert text == f"{3.0 * number}\n" * BLOCKS
    names = [next(iter(names)) for names in stages.threads.values() if len(names) == 1]
    assert len(set(names)) == 3
    rerun = stages.run()
    assert (rerun.done, rerun.skipped) == (0, 12)
    assert stages.run(force=True).done == 12


@pytest.mark.parametrize("stage", ["read", "synthesize", "middle", "write"])
@pytest.mark.parametrize("kind", [InputError, DamagedError, OutputError])
@pytest.mark.parametrize("group_size", [1, 3])
def test_bad_file_does_not_affect_others(
    stage: str, kind: type[HifiganError], group_size: int, create_stages: Callable[..., FakeStages]
) -> None:
    """If a file fails in any stage, the others are written, and it leaves no output."""
    bad = (0, 3, 4, 7)
    stages = create_stages(8, {(stage, number): kind(f"bad {number}") for number in bad})
    stages.group_size = group_size
    result = stages.run()
    assert result.done == 4
    assert [error.message for _, error in result.failures] == [f"bad {n}" for n in bad]
    assert stages.output_names() == ["1.txt", "2.txt", "5.txt", "6.txt"]


@pytest.mark.parametrize("stage", ["read", "synthesize", "middle", "write", "report"])
@pytest.mark.parametrize(
    "error", [DeviceError("lost"), ModelError("x"), InterruptedRunError("stopped", 2), ValueError()]
)
def test_fatal_error_stops_all_stages(
    stage: str, error: Exception, create_stages: Callable[..., FakeStages]
) -> None:
    """Device errors, signals and bugs are raised at once; no thread or partial file remains."""
    stages = create_stages(30, {(stage, 2): error})
    before = threading.active_count()
    with pytest.raises(type(error)):
        stages.run()
    for thread in threading.enumerate():
        if thread.daemon and thread is not threading.current_thread():
            thread.join(2)
    assert threading.active_count() == before
    assert not [name for name in stages.output_names() if name.startswith(".")]
    assert len(stages.output_names()) < 8
    assert stages.output_names() == [f"{n}.txt" for n in range(len(stages.output_names()))]


def test_stages_run_concurrently(
    create_stages: Callable[..., FakeStages], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While file 1 is synthesized, file 2 is read and file 0 is still being written."""
    stages = create_stages(4)
    reading, writing = threading.Event(), threading.Event()
    read, synthesize, write = stages.open, stages.synthesize_one, stages.write

    def slow_read(source: Path) -> int:
        if source.stem == "2":
            reading.set()
        return read(source)

    def slow_synthesize(number: int) -> Iterator[Block]:
        if number == 1:
            assert reading.wait(10), "file 2 is not read while file 1 is synthesized"
            writing.set()
        return synthesize(number)

    def slow_write(job: Job, number: int, blocks: Iterator[Block]) -> str:
        result = write(job, number, blocks)
        if number == 0:
            assert writing.wait(10), "file 1 is not synthesized while file 0 is written"
        return result

    monkeypatch.setattr(stages, "open", slow_read)
    monkeypatch.setattr(stages, "synthesize_one", slow_synthesize)
    monkeypatch.setattr(stages, "write", slow_write)
    assert stages.run().done == 4


def test_files_are_synthesized_in_groups(create_stages: Callable[..., FakeStages]) -> None:
    """Files that are read during the synthesis of a group form the next group."""
    stages = create_stages(40)
    stages.group_size = 8
    stages.run()
    assert stages.reported == [str(n) for n in range(40)]
    assert sum(stages.groups) == 40
    assert 1 < max(stages.groups) <= 8


def test_long_files_run_one_by_one(
    create_stages: Callable[..., FakeStages], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that may be hours long is only opened when no other file is open."""
    monkeypatch.setattr(job_runner, "_LONG_FILE_BYTES", 0)
    stages = create_stages(5)
    open_files: set[int] = set()
    max_open = 0
    read, write = stages.open, stages.write

    def counting_read(source: Path) -> int:
        nonlocal max_open
        number = read(source)
        open_files.add(number)
        max_open = max(max_open, len(open_files))
        return number

    def counting_write(job: Job, number: int, blocks: Iterator[Block]) -> str:
        result = write(job, number, blocks)
        open_files.discard(number)
        return result

    monkeypatch.setattr(stages, "open", counting_read)
    monkeypatch.setattr(stages, "write", counting_write)
    assert stages.run().done == 5
    assert max_open == 1
