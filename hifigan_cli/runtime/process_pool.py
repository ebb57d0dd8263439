"""One function for many tasks, in several processes, with the results in order.

Each thread of a `ThreadPoolExecutor` drives one process through a pipe of its own. In
`ProcessPoolExecutor` all processes share one pipe: one that is killed while it writes a result
leaves the others, and the run, waiting forever (Python 3.11, 2 of 2 tries).

Only a few results wait at a time, so memory does not grow with the number of tasks. A decoder that
crashes on a damaged file takes one process with it, not the run: the task is tried once more.
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

_WAITING_PER_WORKER = 4
_ATTEMPTS = 2


def map_in_order(
    function: Callable[[T], R], tasks: Sequence[T], workers: int, crashed: Callable[[T], R]
) -> Iterator[R]:
    """Yield `function(task)` for each task, in order; `crashed(task)` if it killed its process.

    With one worker everything happens in this process.
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
                except _DiedError:
                    continue
            return crashed(task)
        finally:
            idle.put(worker)

    threads = ThreadPoolExecutor(len(processes), thread_name_prefix="processes")
    try:
        yield from map_ahead(threads, run, tasks, _WAITING_PER_WORKER * len(processes))
    finally:
        for process in processes:
            process.stop()
        threads.shutdown(cancel_futures=True)


class _DiedError(Exception):
    """A process ended in the middle of a task."""


class _Worker:
    """A process and the pipe to it; one that died is replaced at the next call."""

    def __init__(self, context: BaseContext, function: Callable[[Any], Any]) -> None:
        self._context, self._function = context, function
        self._lock = threading.Lock()
        self._stopped = False
        self._start()

    def call(self, task: Any) -> Any:
        """Return the result of a task.

        Raises:
            _DiedError: the process died.
        """
        if not self._process.is_alive():
            self._connection.close()
            self._start()
        try:
            self._connection.send(task)
            result, error = self._connection.recv()
        except (EOFError, OSError) as died:
            self._process.join()
            raise _DiedError from died
        if error is not None:
            raise error
        return result

    def stop(self) -> None:
        """End the process, whatever it is doing; its pipe ends, and so does a call in progress."""
        with self._lock:
            self._stopped = True
            self._process.kill()
            self._process.join()

    def _start(self) -> None:
        with self._lock:
            if self._stopped:
                raise CancelledError
            self._connection, theirs = self._context.Pipe()
            self._process = self._context.Process(  # type: ignore[attr-defined]  # all have it
                target=_serve, args=(self._function, theirs), daemon=True
            )
            self._process.start()
            theirs.close()  # so that its death is the end of the pipe


def _context(function: Callable[..., object]) -> BaseContext:
    # A server that imports everything once forks workers that are ready immediately and share its
    # memory; it has no threads, unlike this process, which therefore must not be forked.
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload([function.__module__])
    return context


def _serve(function: Callable[[Any], Any], connection: Connection[Any, Any]) -> None:
    """Do tasks until the pipe ends; quiet, deaf to Ctrl-C, gone with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too and ends the pool
    silent = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):  # decoders complain from C about files that we reject with a reason
        os.dup2(silent, descriptor)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
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


def _leave_with_parent() -> None:
    # A killed parent cannot end its pool; without this the workers would wait for it forever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
