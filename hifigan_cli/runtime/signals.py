"""Ctrl-C and SIGTERM: the first lets the step finish and be saved, the second stops at once.

A batch scheduler sends SIGTERM to every process of a job: to each rank of a run on several GPUs.
Each notes it, and they agree on the step to stop at. Data workers are threads; no signal reaches
them, and they serve until the run is over.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Which signal has asked this process to stop; 0 while none has."""

    def __init__(self) -> None:
        self.signal_number = 0

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Take note of a signal; leave without ceremony at the second."""
        if self.signal_number:
            os._exit(128 + number)
        self.signal_number = number

    def requested(self) -> bool:
        """Return whether a signal has come."""
        return self.signal_number != 0


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Take both signals while a run is at work; give them back afterwards."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may take signals
        return
    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
