"""Handle Ctrl-C and SIGTERM: the first one finishes and saves the step, the second stops at once.

A batch scheduler sends SIGTERM to every process of a job, so to each rank of a run on several GPUs.
Each rank records it, and they agree on the step to stop at. Data workers are threads, which receive
no signals, and work until the run ends.
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


class StopSignal:
    """Records the signal that stops this process; 0 if none has arrived."""

    def __init__(self) -> None:
        self.signal_number = 0

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Record the first signal; exit immediately at the second."""
        if self.signal_number:
            os._exit(128 + number)
        self.signal_number = number

    def requested(self) -> bool:
        """Return whether a signal has arrived."""
        return self.signal_number != 0


@contextmanager
def catch_stop_signals() -> Iterator[StopSignal]:
    """Handle both signals during a run, and restore the previous handlers afterwards."""
    stop = StopSignal()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread can handle signals
        return
    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
