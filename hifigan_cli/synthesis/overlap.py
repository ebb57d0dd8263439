"""Many files at full throughput: while one is synthesised, the next is read and the last written.

Reading and writing have a thread each; synthesis stays in the caller's. Queues between them hold a
few blocks and one file, so that memory does not depend on how many files there are, nor on which
stage is the slow one. Results come in the order of the jobs. A file that fails at any stage costs
the others nothing; what would fail for every file, and signals, end all three stages, and what was
half written is removed.
"""

from __future__ import annotations

import os
import queue
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hifigan_cli.errors import HifiganError, InputError, OutputError, UsageError
from hifigan_cli.io.files import check_output
from hifigan_cli.synthesis.jobs import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hifigan_cli.synthesis.jobs import Job, Plan
    from hifigan_cli.types import FloatArray

Source = TypeVar("Source")
Speech = TypeVar("Speech")
Written = TypeVar("Written")

# A file of so many bytes may be hours long: it goes through alone.
_LONG_BYTES = 64 << 20
_BLOCKS_AHEAD = 4
_OF_ONE_FILE = (InputError, OutputError, UsageError)
_ALIVE_S = 0.2  # how often a waiting thread looks whether it is still wanted


@dataclass(frozen=True)
class Stages(Generic[Source, Speech, Written]):
    """What is done to each file, and in which thread.

    Attributes:
        read: in the reader's.
        make: in the caller's, of up to `together` sources that are there; returns for each what the
            writer needs to know, and blocks as they are made.
        write: in the writer's.
        told: in the caller's, in order, of each file that was written.
        together: how many files are made at once, and read ahead.
    """

    read: Callable[[Job], Source]
    make: Callable[[Sequence[Source]], Sequence[tuple[Speech, Iterator[FloatArray]]]]
    write: Callable[[Job, Speech, Iterator[FloatArray]], Written]
    told: Callable[[Job, Written], None]
    together: int = 1


def run_overlapped(
    todo: Plan,
    stages: Stages[Any, Any, Any],
    *,
    force: bool,
    report: Callable[[int, Job], None],
) -> Outcome:
    """Do every job of a batch; `report` is told how many are finished, and which was the last.

    Raises:
        HifiganError: what would fail for every file: the device, the model, a signal.
    """
    outcome = Outcome()
    line = _Line(todo, stages, force=force)
    try:
        for number, (job, result) in enumerate(line.results(), 1):
            if isinstance(result, HifiganError):
                outcome.failures.append((job.source, result))
            elif result is _SKIPPED:
                outcome.skipped += 1
            else:
                stages.told(job, result)
                outcome.done += 1
            report(number, job)
    finally:
        line.stop()
    return outcome


class _StoppedError(Exception):
    """The line is given up: threads unwind."""


_END = object()
_SKIPPED = object()


class _Line:
    """Three stages and the queues between them."""

    def __init__(self, todo: Plan, stages: Stages[Any, Any, Any], *, force: bool) -> None:
        self._todo, self._stages, self._force = todo, stages, force
        self._stopped = threading.Event()
        self._read: queue.Queue[Any] = queue.Queue(stages.together)
        self._blocks: queue.Queue[Any] = queue.Queue(_BLOCKS_AHEAD)
        self._done: queue.Queue[Any] = queue.Queue()
        self._finished = self._written = 0  # as the caller knows it; as the writer does
        self._fatal: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._guarded, args=(stage,), name=stage.__name__, daemon=True)
            for stage in (self._reader, self._writer)
        ]

    def results(self) -> Iterator[tuple[Job, Any]]:
        """Yield each job with what its writing gave, its error, or that it was skipped."""
        for thread in self._threads:
            thread.start()
        left = len(self._todo.jobs)
        while left:
            group = self._group()
            left -= len(group)
            self._pass_on(group)
            yield from self._finished_by_now()
        while self._finished < len(self._todo.jobs):
            yield self._result(self._get(self._done))

    def stop(self) -> None:
        """End the threads; a file that is being written is given up."""
        self._stopped.set()
        reader, writer = self._threads
        if writer.is_alive():
            writer.join()  # it removes what is half written
        if reader.is_alive():
            reader.join(_ALIVE_S)  # it may be deep in a file, and holds nothing

    def _finished_by_now(self) -> Iterator[tuple[Job, Any]]:
        with suppress(queue.Empty):
            while True:
                yield self._result(self._done.get_nowait())

    def _result(self, item: Any) -> tuple[Job, Any]:
        self._finished += 1
        job, result = item
        return job, result

    def _group(self) -> list[tuple[Job, Any]]:
        """Wait for the next file that was read; return it with those that are there already."""
        group = [self._get(self._read)]
        with suppress(queue.Empty):
            while len(group) < self._stages.together:
                group.append(self._read.get_nowait())
        return group

    def _pass_on(self, group: list[tuple[Job, Any]]) -> None:
        """Synthesise files into the writer's queue, in order."""
        sources = [item for _, item in group if not _is_settled(item)]
        try:
            made = iter(self._stages.make(sources) if sources else ())
        except _OF_ONE_FILE as error:
            if len(group) > 1:  # whose fault it is shows when each is made by itself
                for each in group:
                    self._pass_on([each])
                return
            group, made = [(group[0][0], error)], iter(())
        for job, item in group:
            if _is_settled(item):
                self._put(self._blocks, (job, item))
                continue
            speech, blocks = next(made)
            self._put(self._blocks, (job, speech))
            try:
                for block in blocks:
                    self._put(self._blocks, block)
            except _OF_ONE_FILE as error:
                self._put(self._blocks, error)
            self._put(self._blocks, _END)

    def _reader(self) -> None:
        for number, job in enumerate(self._todo.jobs):
            if os.path.lexists(job.target) and not self._force:
                self._put(self._read, (job, _SKIPPED))
                continue
            long = _is_long(job)
            if long:
                self._await(number)
            try:
                check_output(job.target, self._force, job.source)
                item: Any = self._stages.read(job)
            except _OF_ONE_FILE as error:
                item = error
            self._put(self._read, (job, item))
            if long:
                self._await(number + 1)

    def _writer(self) -> None:
        for _ in self._todo.jobs:
            job, speech = self._get(self._blocks)
            if not _is_settled(speech):
                incoming = _Incoming(self)
                try:
                    speech = self._stages.write(job, speech, iter(incoming))
                except _OF_ONE_FILE as error:
                    speech = error
                incoming.drain()
            self._done.put((job, speech))
            self._written += 1

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


class _Incoming:
    """The blocks of one file, out of the writer's queue."""

    def __init__(self, line: _Line) -> None:
        self._line = line
        self._ended = False

    def __iter__(self) -> Iterator[FloatArray]:
        while not self._ended:
            item = self._line._get(self._line._blocks)
            if item is _END:
                self._ended = True
            elif isinstance(item, HifiganError):
                raise item
            else:
                yield item

    def drain(self) -> None:
        """Pass over what is left of a file whose writing failed."""
        while not self._ended:
            self._ended = self._line._get(self._line._blocks) is _END


def _is_settled(item: Any) -> bool:
    """Tell what needs no making and writing: a file that is skipped, or has failed."""
    return item is _SKIPPED or isinstance(item, HifiganError)


def _is_long(job: Job) -> bool:
    try:
        return job.source.stat().st_size > _LONG_BYTES
    except OSError:  # the reading says what is wrong
        return False
