"""Many files at full throughput: while one is synthesized, the next is read and the last written.

Reading and writing have a thread each; synthesis stays in the caller's. Queues between them hold a
few blocks and one file, so that memory does not depend on how many files there are, nor on which
stage is the slow one. Results come in the order of the jobs. A file that fails at any stage costs
the others nothing; what would fail for every file, and signals, end all three stages, and what was
half written is removed.
"""

from __future__ import annotations

import queue
import threading
from abc import abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from hifigan_cli.errors import HifiganError
from hifigan_cli.io.files import check_output
from hifigan_cli.synthesis.events import FileProgress
from hifigan_cli.synthesis.jobs import ERRORS_OF_ONE_FILE, JobResults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from hifigan_cli.synthesis.events import Report
    from hifigan_cli.synthesis.jobs import Job, JobList
    from hifigan_cli.types import FloatArray

Opened = TypeVar("Opened")
Result = TypeVar("Result")

# A file of so many bytes may be hours long: nothing is read ahead of it or after it.
_LONG_BYTES = 64 << 20
_BLOCKS_AHEAD = 4
_ALIVE_S = 0.2  # how often a waiting thread looks whether it is still wanted


class Stages(Protocol[Opened, Result]):
    """What is done to each file, and in which thread."""

    @property
    def group_size(self) -> int:
        """How many files are synthesized at once, and read ahead."""
        return 1

    @abstractmethod
    def open(self, source: Path, /) -> Opened:
        """Open a file; in the reader's thread."""

    @abstractmethod
    def read_ahead(self, item: Opened, /) -> None:
        """Prepare an opened file while others are synthesized; in the reader's thread."""

    @abstractmethod
    def synthesize(self, items: Sequence[Opened], /) -> Sequence[Iterator[FloatArray]]:
        """Return the blocks of each item's result; in the caller's thread."""

    @abstractmethod
    def write(self, job: Job, item: Opened, blocks: Iterator[FloatArray], /) -> Result:
        """Write the blocks; in the writer's thread."""

    @abstractmethod
    def written(self, result: Result, /) -> None:
        """Report a file that was written; in the caller's thread, in order."""


def run_overlapped(batch: JobList, stages: Stages[Any, Any], report: Report) -> JobResults:
    """Do every job; report how many of how many are finished, and which was the last.

    A single job raises its error and needs no threads. Of several, errors are collected.

    Raises:
        HifiganError: of a single job; of several, what would fail for every file: the device, the
            model, a signal.
    """
    result, total = JobResults(batch), len(batch.jobs)
    report(FileProgress(0, total))
    if not batch.many:
        (job,) = batch.jobs
        check_output(job.target, batch.force, job.source)
        item = stages.open(job.source)
        (blocks,) = stages.synthesize([item])
        stages.written(stages.write(job, item, blocks))
        result.done = 1
        report(FileProgress(1, 1, job.source))
        return result
    line = _Line(batch, stages)
    try:
        for number, (job, written) in enumerate(line.results(), 1):
            if isinstance(written, HifiganError):
                result.failures.append((job.source, written))
            elif written is _SKIPPED:
                result.skipped += 1
            else:
                stages.written(written)
                result.done += 1
            report(FileProgress(number, total, job.source))
    finally:
        line.stop()
    return result


class _StoppedError(Exception):
    """The line is given up: threads unwind."""


_END = object()
_SKIPPED = object()


class _Line:
    """Three stages and the queues between them."""

    def __init__(self, batch: JobList, stages: Stages[Any, Any]) -> None:
        self._batch, self._stages = batch, stages
        self._stopped = threading.Event()
        self._read: queue.Queue[Any] = queue.Queue(stages.group_size)
        self._blocks: queue.Queue[Any] = queue.Queue(_BLOCKS_AHEAD)
        self._done: queue.Queue[Any] = queue.Queue()
        self._written = 0  # how many jobs the writer has finished
        self._fatal: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._guarded, args=(stage,), name=stage.__name__, daemon=True)
            for stage in (self._reader, self._writer)
        ]

    def results(self) -> Iterator[tuple[Job, Any]]:
        """Yield each job with what its writing gave, its error, or that it was skipped."""
        for thread in self._threads:
            thread.start()
        unread = unfinished = len(self._batch.jobs)
        while unfinished:
            if unread:
                group = self._group()
                unread -= len(group)
                self._pass_on(group)
            with suppress(queue.Empty):
                while unfinished:
                    yield self._done.get_nowait() if unread else self._get(self._done)
                    unfinished -= 1

    def stop(self) -> None:
        """End the threads; a file that is being written is given up."""
        self._stopped.set()
        reader, writer = self._threads
        if writer.is_alive():
            writer.join()  # it removes what is half written
        if reader.is_alive():
            reader.join(_ALIVE_S)  # it may be deep in a file, and holds nothing

    def _group(self) -> list[tuple[Job, Any]]:
        """Wait for the next file that was read; return it with those that are there already."""
        group = [self._get(self._read)]
        with suppress(queue.Empty):
            while len(group) < self._stages.group_size:
                group.append(self._read.get_nowait())
        return group

    def _pass_on(self, group: list[tuple[Job, Any]]) -> None:
        """Synthesise files into the writer's queue, in order."""
        sources = [item for _, item in group if not _is_settled(item)]
        try:
            results = iter(self._stages.synthesize(sources) if sources else ())
        except ERRORS_OF_ONE_FILE as error:
            if len(group) > 1:  # whose fault it is shows when each is made by itself
                for each in group:
                    self._pass_on([each])
                return
            group, results = [(group[0][0], error)], iter(())
        for job, item in group:
            if _is_settled(item):
                self._put(self._blocks, (job, item))
                continue
            self._put(self._blocks, (job, item))
            end: object = _END
            try:
                for block in next(results):
                    self._put(self._blocks, block)
            except ERRORS_OF_ONE_FILE as error:
                end = error
            self._put(self._blocks, end)

    def _reader(self) -> None:
        for number, job in enumerate(self._batch.jobs):
            if self._batch.skips(job):
                self._put(self._read, (job, _SKIPPED))
                continue
            long = _is_long(job)
            if long:
                self._await(number)
            try:
                check_output(job.target, self._batch.force, job.source)
                item: Any = self._stages.open(job.source)
                self._stages.read_ahead(item)
            except ERRORS_OF_ONE_FILE as error:
                item = error
            self._put(self._read, (job, item))
            if long:
                self._await(number + 1)

    def _writer(self) -> None:
        for _ in self._batch.jobs:
            job, item = self._get(self._blocks)
            if not _is_settled(item):
                incoming = self._incoming()
                try:
                    item = self._stages.write(job, item, incoming)
                except ERRORS_OF_ONE_FILE as error:
                    item = error
                with suppress(*ERRORS_OF_ONE_FILE):  # what is left where the writing failed
                    for _ in incoming:
                        pass
            self._done.put((job, item))
            self._written += 1

    def _incoming(self) -> Iterator[FloatArray]:
        """Yield the blocks of one file; raise the error that ends them."""
        while (item := self._get(self._blocks)) is not _END:
            if isinstance(item, HifiganError):
                raise item
            yield item

    def _await(self, finished: int) -> None:
        """Wait until so many jobs are written, or known to fail."""
        while self._written < finished:
            if self._stopped.wait(_ALIVE_S):
                raise _StoppedError

    def _guarded(self, stage: Callable[[], None]) -> None:
        try:
            stage()
        except _StoppedError:
            pass
        except BaseException as error:  # noqa: BLE001 - it is raised in the caller's thread
            self._fatal = error

    def _put(self, place: queue.Queue[Any], item: Any) -> None:
        while True:
            self._check()
            with suppress(queue.Full):
                place.put(item, timeout=_ALIVE_S)
                return

    def _get(self, place: queue.Queue[Any]) -> Any:
        while True:
            self._check()
            with suppress(queue.Empty):
                return place.get(timeout=_ALIVE_S)

    def _check(self) -> None:
        """Leave a line that is given up; in the caller's thread, raise what ended another stage."""
        if self._stopped.is_set():
            raise _StoppedError
        if self._fatal and threading.current_thread() not in self._threads:
            raise self._fatal


def _is_settled(item: Any) -> bool:
    """Tell what needs no making and writing: a file that is skipped, or has failed."""
    return item is _SKIPPED or isinstance(item, HifiganError)


def _is_long(job: Job) -> bool:
    try:
        return job.source.stat().st_size > _LONG_BYTES
    except OSError:  # the reading says what is wrong
        return False
