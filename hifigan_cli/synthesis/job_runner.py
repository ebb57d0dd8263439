"""Run jobs concurrently: synthesize one file, read the next and write the previous one.

Reading and writing have one thread each; synthesis stays in the caller's thread. The queues between
them hold a few blocks and one file or group, so memory does not depend on the number of files, or
on which stage is the slowest. Results come in the order of the jobs. A file that fails in any stage
does not affect the others. Errors that concern every file, and signals, stop all three stages, and
partly written files are removed.
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
from hifigan_cli.synthesis.jobs import PER_FILE_ERRORS, JobResults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from hifigan_cli.synthesis.events import EventHandler
    from hifigan_cli.synthesis.jobs import Job, JobList
    from hifigan_cli.types import FloatArray

Input = TypeVar("Input")
Result = TypeVar("Result")

# Larger files are processed one at a time, because they may be hours long.
_LONG_FILE_BYTES = 64 << 20
_BLOCKS_AHEAD = 4
_POLL_S = 0.2  # how often a waiting thread checks whether the run has stopped


class Stages(Protocol[Input, Result]):
    """The stages of processing a file, and their threads."""

    @property
    def group_size(self) -> int:
        """Number of files that are read ahead and synthesized together."""
        return 1

    @abstractmethod
    def open(self, source: Path, /) -> Input:
        """Open a file, in the reader thread."""

    @abstractmethod
    def read_ahead(self, item: Input, /) -> None:
        """Prepare an opened file while others are synthesized, in the reader thread."""

    @abstractmethod
    def synthesize(self, items: Sequence[Input], /) -> Sequence[Iterator[FloatArray]]:
        """Return the blocks of each item's result, in the caller's thread."""

    @abstractmethod
    def write(self, job: Job, item: Input, blocks: Iterator[FloatArray], /) -> Result:
        """Write the blocks, in the writer thread."""

    @abstractmethod
    def report_written(self, result: Result, /) -> None:
        """Report a written file, in order, in the caller's thread."""


def run_jobs(job_list: JobList, stages: Stages[Any, Any], report: EventHandler) -> JobResults:
    """Run every job and report the progress.

    A single job raises its error and uses no threads. The errors of several jobs are collected in
    the result.

    Raises:
        HifiganError: a single job failed, or an error concerns every file: of the device or the
            model, or a signal.
    """
    result, total = JobResults(job_list), len(job_list.jobs)
    report(FileProgress(0, total))
    if not job_list.is_multi_file:
        (job,) = job_list.jobs
        check_output(job.target, job_list.force, job.source)
        item = stages.open(job.source)
        (blocks,) = stages.synthesize([item])
        stages.report_written(stages.write(job, item, blocks))
        result.done = 1
        report(FileProgress(1, 1, job.source))
        return result
    threads = _StageThreads(job_list, stages)
    try:
        for number, (job, written) in enumerate(threads.results(), 1):
            if isinstance(written, HifiganError):
                result.failures.append((job.source, written))
            elif written is _SKIPPED:
                result.skipped += 1
            else:
                stages.report_written(written)
                result.done += 1
            report(FileProgress(number, total, job.source))
    finally:
        threads.stop()
    return result


class _StoppedError(Exception):
    """Raised in the reader and writer threads to end them when the run stops."""


_END = object()
_SKIPPED = object()


class _StageThreads:
    """Three stages and the queues between them."""

    def __init__(self, job_list: JobList, stages: Stages[Any, Any]) -> None:
        self._job_list, self._stages = job_list, stages
        self._stopped = threading.Event()
        self._read: queue.Queue[Any] = queue.Queue(stages.group_size)
        self._blocks: queue.Queue[Any] = queue.Queue(_BLOCKS_AHEAD)
        self._done: queue.Queue[Any] = queue.Queue()
        self._n_written = 0  # jobs that the writer has finished
        self._fatal: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._guard, args=(stage,), name=stage.__name__, daemon=True)
            for stage in (self._reader, self._writer)
        ]

    def results(self) -> Iterator[tuple[Job, Any]]:
        """Yield each job with the return value of `write`, its error, or `_SKIPPED`."""
        for thread in self._threads:
            thread.start()
        unread = unfinished = len(self._job_list.jobs)
        while unfinished:
            if unread:
                group = self._next_group()
                unread -= len(group)
                self._synthesize(group)
            with suppress(queue.Empty):
                while unfinished:
                    yield self._done.get_nowait() if unread else self._get(self._done)
                    unfinished -= 1

    def stop(self) -> None:
        """Stop the threads; a file that is being written is discarded."""
        self._stopped.set()
        reader, writer = self._threads
        if writer.is_alive():
            writer.join()  # it removes a partly written file
        if reader.is_alive():
            reader.join(_POLL_S)  # it may still be decoding, but has nothing to clean up

    def _next_group(self) -> list[tuple[Job, Any]]:
        """Wait for the next opened file; return it with the others that are ready."""
        group = [self._get(self._read)]
        with suppress(queue.Empty):
            while len(group) < self._stages.group_size:
                group.append(self._read.get_nowait())
        return group

    def _synthesize(self, group: list[tuple[Job, Any]]) -> None:
        """Synthesize files into the writer's queue, in order."""
        items = [item for _, item in group if not _is_finished(item)]
        try:
            results = iter(self._stages.synthesize(items) if items else ())
        except PER_FILE_ERRORS as error:
            if len(group) > 1:  # retry one by one to find the file that fails
                for pair in group:
                    self._synthesize([pair])
                return
            group, results = [(group[0][0], error)], iter(())
        for job, item in group:
            self._put(self._blocks, (job, item))
            if _is_finished(item):
                continue
            end: object = _END
            try:
                for block in next(results):
                    self._put(self._blocks, block)
            except PER_FILE_ERRORS as error:
                end = error
            self._put(self._blocks, end)

    def _reader(self) -> None:
        for number, job in enumerate(self._job_list.jobs):
            if self._job_list.is_skipped(job):
                self._put(self._read, (job, _SKIPPED))
                continue
            long = _is_long(job)
            if long:
                self._wait_until_written(number)
            try:
                check_output(job.target, self._job_list.force, job.source)
                item: Any = self._stages.open(job.source)
                self._stages.read_ahead(item)
            except PER_FILE_ERRORS as error:
                item = error
            self._put(self._read, (job, item))
            if long:
                self._wait_until_written(number + 1)

    def _writer(self) -> None:
        for _ in self._job_list.jobs:
            job, item = self._get(self._blocks)
            if not _is_finished(item):
                blocks = self._file_blocks()
                try:
                    item = self._stages.write(job, item, blocks)
                except PER_FILE_ERRORS as error:
                    item = error
                with suppress(*PER_FILE_ERRORS):  # drop the remaining blocks if writing failed
                    for _ in blocks:
                        pass
            self._done.put((job, item))
            self._n_written += 1

    def _file_blocks(self) -> Iterator[FloatArray]:
        """Yield the blocks of one file; raise its synthesis error."""
        while (item := self._get(self._blocks)) is not _END:
            if isinstance(item, HifiganError):
                raise item
            yield item

    def _wait_until_written(self, n_jobs: int) -> None:
        """Wait until this many jobs are written or have failed."""
        while self._n_written < n_jobs:
            if self._stopped.wait(_POLL_S):
                raise _StoppedError

    def _guard(self, stage: Callable[[], None]) -> None:
        try:
            stage()
        except _StoppedError:
            pass
        except BaseException as error:  # noqa: BLE001 - the caller's thread raises it
            self._fatal = error

    def _put(self, destination: queue.Queue[Any], item: Any) -> None:
        while True:
            self._check()
            with suppress(queue.Full):
                destination.put(item, timeout=_POLL_S)
                return

    def _get(self, source: queue.Queue[Any]) -> Any:
        while True:
            self._check()
            with suppress(queue.Empty):
                return source.get(timeout=_POLL_S)

    def _check(self) -> None:
        """Raise if the run was stopped; in the caller's thread, raise another stage's error."""
        if self._stopped.is_set():
            raise _StoppedError
        if self._fatal and threading.current_thread() not in self._threads:
            raise self._fatal


def _is_finished(item: Any) -> bool:
    """Return whether an item needs no synthesis: its file was skipped or has failed."""
    return item is _SKIPPED or isinstance(item, HifiganError)


def _is_long(job: Job) -> bool:
    try:
        return job.source.stat().st_size > _LONG_FILE_BYTES
    except OSError:  # opening the file reports the error
        return False
