"""One function for many tasks in several processes: in order, whoever dies."""

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


def test_a_crashing_decoder_takes_one_file_with_it() -> None:
    """The process dies, the run goes on, and only the guilty file is left out."""
    results = list(map_in_order(_square_or_die, range(12), 2, crashed=lambda number: -number))
    assert results == [-5 if n == 5 else n * n for n in range(12)]


_LARGE = 1 << 22  # bytes: more than a pipe takes without a reader


def _die_while_sending(task: tuple[int, Path]) -> bytes:
    number, marker = task
    if number == 2 and not marker.exists():
        marker.touch()
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGKILL)).start()
    return bytes([number]) * _LARGE


def test_a_worker_that_is_killed_while_it_sends(tmp_path: Path) -> None:
    """Half a result in the pipe stops nobody: the others go on, and the file is done again."""
    tasks = [(number, tmp_path / "marker") for number in range(8)]
    results = []
    for result in map_in_order(_die_while_sending, tasks, 2, crashed=lambda _: b""):
        time.sleep(0.2)  # nobody reads, so that what is sent meanwhile stops in the middle
        results.append((len(result), result[0]))
    assert results == [(_LARGE, number) for number in range(8)]
    assert (tmp_path / "marker").exists()


def _refuse(number: int) -> int:
    if number == 3:
        raise InputError("no")
    return number


def test_what_a_worker_raises_the_run_raises() -> None:
    """An error keeps its class on the way, after the results before it."""
    with pytest.raises(InputError, match="no"):
        list(map_in_order(_refuse, range(9), 2, crashed=lambda number: -number))
