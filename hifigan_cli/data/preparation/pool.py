"""The same work for many files, in several processes, with the results in order.

No more than a few results wait at a time, so memory does not grow with the corpus. A decoder that
crashes on a damaged file takes a worker process with it, not the run: the file is tried once more,
and left out if it does so again.

Each worker has a pipe of its own. In the standard library's pool all share one, and a worker that
is killed while it writes there leaves the others, and the run, waiting for ever.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import BaseContext

T = TypeVar("T")
R = TypeVar("R")

_WAITING_PER_WORKER = 4
_AHEAD = 2  # tasks that a worker has, so that it need not wait for the next
_ATTEMPTS = 2


def map_in_order(
    function: Callable[[T], R], tasks: Sequence[T], workers: int, crashed: Callable[[T], R]
) -> Iterator[R]:
    """Yield `function(task)` for each task, in order; `crashed(task)` if it killed its process.

    With one worker everything happens in this process.
    """
    if workers == 1:
        yield from map(function, tasks)
        return
    with _Pool(function, tasks, min(workers, len(tasks)), crashed) as pool:
        yield from pool.results()


class _Worker:
    """A process, the parent's end of its pipe, and the numbers of the tasks that it has."""

    def __init__(self, context: BaseContext, function: Callable[[Any], Any]) -> None:
        self.connection, theirs = context.Pipe()
        self.process = context.Process(  # type: ignore[attr-defined]  # every context has it
            target=_serve, args=(function, theirs), daemon=True
        )
        self.process.start()
        theirs.close()  # so that its death is the end of the pipe
        self.at_hand: deque[int] = deque()

    def end(self) -> None:
        """Stop the process, whatever it is doing."""
        self.process.kill()
        self.process.join()
        self.connection.close()


class _Pool(Generic[T, R]):
    """Workers, what they have done, and what is still to do."""

    def __init__(
        self,
        function: Callable[[T], R],
        tasks: Sequence[T],
        workers: int,
        crashed: Callable[[T], R],
    ) -> None:
        self._function, self._tasks, self._crashed = function, tasks, crashed
        self._context = _context()
        self._waiting = _WAITING_PER_WORKER * workers
        self._again: deque[int] = deque()  # tasks of workers that died
        self._next = self._yielded = 0
        self._done: dict[int, R] = {}
        self._deaths: Counter[int] = Counter()
        self._workers = [_Worker(self._context, function) for _ in range(workers)]

    def __enter__(self) -> _Pool[T, R]:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.end()

    def results(self) -> Iterator[R]:
        """Yield the result of each task, in order."""
        while self._yielded < len(self._tasks):
            self._hand_out()
            if self._yielded not in self._done:
                self._collect()
            while self._yielded in self._done:
                yield self._done.pop(self._yielded)
                self._yielded += 1

    def _hand_out(self) -> None:
        """Give every worker something to do, as long as not too many results wait."""
        for place, worker in enumerate(self._workers):
            while len(worker.at_hand) < _AHEAD and (number := self._following()) is not None:
                worker.at_hand.append(number)
                try:
                    worker.connection.send((number, self._tasks[number]))
                except OSError:  # it died while it had nothing to do
                    self._replace(place)
                    break

    def _following(self) -> int | None:
        if self._again:
            return self._again.popleft()
        if self._next >= len(self._tasks) or self._next >= self._yielded + self._waiting:
            return None
        self._next += 1
        return self._next - 1

    def _collect(self) -> None:
        """Wait for at least one worker, and take what it has."""
        places = {worker.connection: place for place, worker in enumerate(self._workers)}
        for ready in wait([w.connection for w in self._workers if w.at_hand]):
            place = places[ready]  # type: ignore[index]  # they are connections
            worker = self._workers[place]
            try:
                number, result, error = worker.connection.recv()
            except (EOFError, OSError):
                self._replace(place)
                continue
            if error is not None:
                raise error
            worker.at_hand.remove(number)
            self._done[number] = result

    def _replace(self, place: int) -> None:
        """Put a new worker in the place of one that died; the first of its tasks is suspect."""
        dead = self._workers[place]
        dead.end()
        self._workers[place] = _Worker(self._context, self._function)
        suspect = dead.at_hand[0]
        self._deaths[suspect] += 1
        if self._deaths[suspect] >= _ATTEMPTS:
            dead.at_hand.popleft()
            self._done[suspect] = self._crashed(self._tasks[suspect])
        self._again.extend(dead.at_hand)


def _context() -> BaseContext:
    # A server that has imported everything once forks workers that are ready at once and share its
    # memory; it has no threads, unlike this process, which therefore must not be forked.
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload(["hifigan_cli.data.preparation.clip"])
    return context


def _serve(function: Callable[[Any], Any], connection: Connection[Any, Any]) -> None:
    """Work off tasks until the pipe ends."""
    _begin()
    while True:
        try:
            number, task = connection.recv()
        except EOFError:
            return
        answer: tuple[int, Any, Exception | None]
        try:
            answer = (number, function(task), None)
        except Exception as error:  # noqa: BLE001 - the parent raises it
            answer = (number, None, error)
        connection.send(answer)


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
