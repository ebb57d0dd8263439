"""Work done by threads, a few items ahead of whoever reads it."""

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

_LOOK_S = 0.2  # how often a thread that waits for room checks whether it is still wanted


def in_background(items: Generator[Item, None, None], ahead: int) -> Generator[Item, None, None]:
    """Yield the items of a generator that runs in another thread, up to `ahead` items ahead.

    What it raises is raised here, in its place. The thread starts with the first item that is asked
    for. When the result is closed or dropped, the thread closes the generator after its present
    item, and ends.

    >>> list(in_background((letter for letter in "abc"), ahead=2))
    ['a', 'b', 'c']
    """
    ready: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(ahead)  # item, or error
    unwanted = threading.Event()

    def put(item: object, error: BaseException | None = None) -> None:
        while not unwanted.is_set():
            with suppress(queue.Full):
                ready.put((item, error), timeout=_LOOK_S)
                return

    def run() -> None:
        end: BaseException = StopIteration()
        try:
            with closing(items):
                for item in items:
                    put(item)
                    if unwanted.is_set():
                        break
        except BaseException as error:  # noqa: BLE001 - raised where the items are read
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
        unwanted.set()
        with suppress(queue.Empty):
            ready.get_nowait()  # room for an item that waits for it
        # No longer: the garbage collector may run this in a thread that the other one waits for.
        # In that thread itself, and at the end of the interpreter, joining is an error.
        with suppress(RuntimeError):
            thread.join(_LOOK_S)


def map_ahead(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """Yield `function(item)` for each item, in order; up to `ahead` of them run or wait.

    `Executor.map` starts all at once, so that the results of many items fill the memory.
    """
    remaining = iter(items)
    window = deque(pool.submit(function, item) for item in islice(remaining, ahead))
    while window:
        yield window.popleft().result()
        window.extend(pool.submit(function, item) for item in islice(remaining, 1))
