"""A generator in a background thread: order, errors, prefetching, and the end of the thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hifigan_cli.runtime.background import in_background


def threads() -> int:
    """Count the background threads, after waiting up to 5 s for them to end."""
    deadline = time.monotonic() + 5
    while (
        count := sum(thread.name == "in_background" for thread in threading.enumerate())
    ) and time.monotonic() < deadline:
        time.sleep(0.01)
    return count


@given(items=st.lists(st.integers(), max_size=30), ahead=st.integers(1, 5))
def test_all_items_in_order(items: list[int], ahead: int) -> None:
    """All items arrive in order, and the thread ends."""
    assert list(in_background((item for item in items), ahead)) == items
    assert threads() == 0


@pytest.mark.parametrize("fails_at", [0, 3])
def test_error_arrives_after_the_items_before_it(fails_at: int) -> None:
    """The items before an error arrive first; then the consumer's thread raises it unchanged."""

    def items() -> Generator[int, None, None]:
        yield from range(fails_at)
        raise OSError("gone")

    background = in_background(items(), 2)
    assert [next(background) for _ in range(fails_at)] == list(range(fails_at))
    with pytest.raises(OSError, match="gone"):
        next(background)
    assert threads() == 0


@pytest.mark.parametrize("read", [1, 4])
def test_closing_ends_the_thread(read: int) -> None:
    """A closed generator is closed in its thread, and produced at most `ahead` unread items."""
    produced, closed_in = [], []

    def items() -> Generator[int, None, None]:
        try:
            for item in range(1000):
                produced.append(item)
                yield item
        finally:
            closed_in.append(threading.current_thread().name)

    background = in_background(items(), 3)
    assert not produced  # the thread starts with the first request
    for _ in range(read):
        next(background)
    time.sleep(0.05)
    assert read < len(produced) <= read + 3 + 1
    background.close()
    assert threads() == 0
    assert closed_in == ["in_background"]
    assert len(produced) <= read + 3 + 2


def test_closing_does_not_wait_for_a_slow_item() -> None:
    """Closing the outer of two generators returns at once; both threads end later."""
    release = threading.Event()

    def slow() -> Generator[int, None, None]:
        yield 0
        release.wait(10)
        yield 1

    def outer(items: Generator[int, None, None]) -> Generator[int, None, None]:
        yield from items

    background = in_background(outer(in_background(slow(), 1)), 1)
    assert next(background) == 0
    started = time.monotonic()
    background.close()
    assert time.monotonic() - started < 2
    release.set()
    assert threads() == 0
