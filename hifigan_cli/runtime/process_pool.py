"""Run one function for many tasks in several processes, with the results in order.

Each thread of a `ThreadPoolExecutor` controls one process through a separate pipe. In
`ProcessPoolExecutor` all processes share one pipe: if one is killed while it writes a result, the
others and the run wait forever (Python 3.11, 2 of 2 tries).

Only a few results wait at a time, so memory does not grow with the number of tasks. A decoder that
crashes on a damaged file ends one process, not the run, and the task is retried once.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from hifigan_cli.runtime.background import map_ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import BaseContext

T = TypeVar("T")
R = TypeVar("R")

_TASKS_PER_WORKER = 4
_ATTEMPTS = 2


def map_in_order(
    function: Callable[[T], R], tasks: Sequence[T], workers: int, on_crash: Callable[[T], R]
) -> Iterator[R]:
    """Yield `function(task)` for each task, in order; `on_crash(task)` if its process crashed.

    With one worker all tasks run in this process.
    """
    if workers == 1 or not tasks:
        yield from map(function, tasks)
        return
    context = _context(function)
    processes = [_Worker(context, function) for _ in range(min(workers, len(tasks)))]
    idle: SimpleQueue[_Worker] = SimpleQueue()
    for process in processes:
        idle.put(process)

    def run(task: T) -> R:
        worker = idle.get()
        try:
            for _ in range(_ATTEMPTS):
                try:
                    return worker.call(task)  # type: ignore[no-any-return]  # pickled
                except _WorkerDiedError:
                    continue
            return on_crash(task)
        finally:
            idle.put(worker)

    threads = ThreadPoolExecutor(len(processes), thread_name_prefix="processes")
    try:
        yield from map_ahead(threads, run, tasks, _TASKS_PER_WORKER * len(processes))
    finally:
        for process in processes:
            process.stop()
        threads.shutdown(cancel_futures=True)


class _WorkerDiedError(Exception):
    """A process ended during a task."""


class _Worker:
    """A process and the pipe to it; a dead process is replaced at the next call."""

    def __init__(self, context: BaseContext, function: Callable[[Any], Any]) -> None:
        self._context, self._function = context, function
        self._lock = threading.Lock()
        self._stopped = False
        self._start()

    def call(self, task: Any) -> Any:
        """Return the result of a task.

        Raises:
            _WorkerDiedError: the process died.
        """
        if not self._process.is_alive():
            self._connection.close()
            self._start()
        try:
            self._connection.send(task)
            result, error = self._connection.recv()
        except (EOFError, OSError) as died:
            self._process.join()
            raise _WorkerDiedError from died
        if error is not None:
            raise error
        return result

    def stop(self) -> None:
        """Kill the process; this closes its pipe, which ends a call in progress."""
        with self._lock:
            self._stopped = True
            self._process.kill()
            self._process.join()

    def _start(self) -> None:
        with self._lock:
            if self._stopped:
                raise CancelledError
            self._connection, child_end = self._context.Pipe()
            self._process = self._context.Process(  # type: ignore[attr-defined]  # all contexts have it
                target=_serve, args=(self._function, child_end), daemon=True
            )
            self._process.start()
            child_end.close()  # so that the pipe closes when the process dies


def _context(function: Callable[..., object]) -> BaseContext:
    # A fork server imports everything once; its workers start immediately and share its memory.
    # The fork server has no threads, so it can be forked safely; this process has threads.
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload([function.__module__])
    return context


def _serve(function: Callable[[Any], Any], connection: Connection[Any, Any]) -> None:
    """Run tasks until the pipe closes; print nothing, ignore Ctrl-C, and end with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too and ends the pool
    devnull = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):  # C decoders print warnings about files that we reject with a reason
        os.dup2(devnull, descriptor)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        answer: tuple[Any, Exception | None]
        try:
            answer = (function(task), None)
        except Exception as error:  # noqa: BLE001 - the parent raises it
            answer = (None, error)
        connection.send(answer)


def _exit_with_parent() -> None:
    # A killed parent cannot end its pool; without this the workers would wait forever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
