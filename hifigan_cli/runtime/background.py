"""Run work in threads, a few items ahead of its consumer."""

from __future__ import annotations

import queue
import threading
from collections import deque
from contextlib import closing, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from concurrent.futures import Executor

Item = TypeVar("Item")
Result = TypeVar("Result")

_POLL_S = 0.2  # how often a thread that waits for a free slot checks whether it should end


def in_background(items: Generator[Item, None, None], ahead: int) -> Generator[Item, None, None]:
    """Yield the items of a generator that runs in another thread, up to `ahead` items ahead.

    An exception of the generator is raised here, after the items before it. The thread starts when
    the first item is requested. When the result is closed or dropped, the thread finishes its
    current item, closes the generator and ends.

    >>> list(in_background((letter for letter in "abc"), ahead=2))
    ['a', 'b', 'c']
    """
    ready: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(ahead)  # item or error
    closed = threading.Event()

    def put(item: object, error: BaseException | None = None) -> None:
        while not closed.is_set():
            with suppress(queue.Full):
                ready.put((item, error), timeout=_POLL_S)
                return

    def run() -> None:
        end: BaseException = StopIteration()
        try:
            with closing(items):
                for item in items:
                    put(item)
                    if closed.is_set():
                        break
        except BaseException as error:  # noqa: BLE001 - raised in the consumer's thread
            end = error
        put(None, end)

    thread = threading.Thread(target=run, name="in_background", daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        closed.set()
        with suppress(queue.Empty):
            ready.get_nowait()  # free a slot for an item that waits for it
        # Wait no longer than this: the garbage collector may run it in a thread that the other one
        # waits for. Joining fails in that thread itself, and at interpreter exit.
        with suppress(RuntimeError):
            thread.join(_POLL_S)


def map_ahead(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """Yield `function(item)` for each item, in order, with up to `ahead` of them in flight.

    `Executor.map` submits all at once, so the results of many items would fill the memory.
    """
    remaining = iter(items)
    window = deque(pool.submit(function, item) for item in islice(remaining, ahead))
    while window:
        yield window.popleft().result()
        window.extend(pool.submit(function, item) for item in islice(remaining, 1))
