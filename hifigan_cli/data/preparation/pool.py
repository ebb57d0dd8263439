"""The same work for many files, in several processes, with the results in order.

No more than a few results wait at a time, so memory does not grow with the corpus. A decoder that
crashes on a damaged file takes a worker process with it, not the run: the files at hand are tried
again, one of them alone, until the guilty one is found and left out.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")
R = TypeVar("R")

_WAITING_PER_WORKER = 4


def map_in_order(
    function: Callable[[T], R], tasks: Sequence[T], workers: int, crashed: Callable[[T], R]
) -> Iterator[R]:
    """Yield `function(task)` for each task, in order; `crashed(task)` if it killed its process.

    With one worker everything happens in this process.
    """
    if workers == 1:
        yield from map(function, tasks)
        return
    done = 0
    while done < len(tasks):
        try:
            with _pool(min(workers, len(tasks) - done)) as pool:
                for result in _windowed(pool, function, tasks, done, workers):
                    yield result
                    done += 1
        except BrokenProcessPool:
            # Any of those at hand may have done it; the first is tried alone, then all go on.
            yield _alone(function, tasks[done], crashed)
            done += 1


def _windowed(
    pool: ProcessPoolExecutor,
    function: Callable[[T], R],
    tasks: Sequence[T],
    start: int,
    workers: int,
) -> Iterator[R]:
    pending = (tasks[i] for i in range(start, len(tasks)))
    window = deque(
        pool.submit(function, task) for task in islice(pending, _WAITING_PER_WORKER * workers)
    )
    while window:
        yield window.popleft().result()
        window.extend(pool.submit(function, task) for task in islice(pending, 1))


def _alone(function: Callable[[T], R], task: T, crashed: Callable[[T], R]) -> R:
    try:
        with _pool(1) as pool:
            return pool.submit(function, task).result()
    except BrokenProcessPool:
        return crashed(task)


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Open a pool that ends promptly when the block raises."""
    # A server that has imported everything once forks workers that are ready at once and share its
    # memory; it has no threads, unlike this process, which therefore must not be forked.
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload(["hifigan_cli.data.preparation.clip"])
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """Set up a worker process: quiet, deaf to Ctrl-C, gone with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too and ends the pool
    silent = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (
        1,
        2,
    ):  # decoders complain from C about the files that we reject with a reason
        os.dup2(silent, descriptor)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    # A killed parent cannot end its pool; without this the workers would wait for it forever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
