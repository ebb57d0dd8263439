"""One function for many tasks in several processes: results in order, also after crashes."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from hifigan_cli.errors import InputError
from hifigan_cli.runtime.process_pool import map_in_order


def _square_or_die(number: int) -> int:
    if number == 5:
        os._exit(9)
    return number * number


def test_crash_fails_only_one_task() -> None:
    """A process dies, the run continues, and only the task that crashed it fails."""
    results = list(map_in_order(_square_or_die, range(12), 2, on_crash=lambda number: -number))
    assert results == [-5 if n == 5 else n * n for n in range(12)]


_LARGE = 1 << 22  # bytes: more than a pipe buffers


def _die_while_sending(task: tuple[int, Path]) -> bytes:
    number, marker = task
    if number == 2 and not marker.exists():
        marker.touch()
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGKILL)).start()
    return bytes([number]) * _LARGE


def test_worker_killed_while_sending(tmp_path: Path) -> None:
    """A partial result in a pipe does not stop the other workers, and its task is retried."""
    tasks = [(number, tmp_path / "marker") for number in range(8)]
    results = []
    for result in map_in_order(_die_while_sending, tasks, 2, on_crash=lambda _: b""):
        time.sleep(0.2)  # do not read, so that workers block while sending
        results.append((len(result), result[0]))
    assert results == [(_LARGE, number) for number in range(8)]
    assert (tmp_path / "marker").exists()


def _fail_at_three(number: int) -> int:
    if number == 3:
        raise InputError("task 3")
    return number


def test_worker_error_is_raised_in_the_parent() -> None:
    """An error of a worker keeps its class and is raised after the results before it."""
    with pytest.raises(InputError, match="task 3"):
        list(map_in_order(_fail_at_three, range(9), 2, on_crash=lambda number: -number))
