"""Average losses and speed between two log entries, without synchronizing at each step."""

from __future__ import annotations

import statistics
import time
from collections import Counter, deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from hifigan_cli.runtime.distributed import DistributedContext

_MAX_SPEEDS = 50  # log entries for the median speed


class Meter:
    """Accumulates losses on the device and measures the steps per second.

    Steps with a non-finite loss are excluded from the means.
    """

    def __init__(self) -> None:
        # By the names of a step's losses: their sums, then the number of finite steps.
        self._sums: dict[tuple[str, ...], Tensor] = {}
        self._steps = 0
        self._start = time.monotonic()
        self._speeds: deque[float] = deque(maxlen=_MAX_SPEEDS)

    def add(self, losses: Mapping[str, Tensor]) -> None:
        """Add the losses of one step."""
        names, values = tuple(losses), list(losses.values())
        row = torch.stack([*values, torch.ones_like(values[0])])
        row = torch.where(torch.isfinite(row).all(), row, 0.0)
        self._sums[names] = self._sums[names] + row if names in self._sums else row
        self._steps += 1

    def means(self, context: DistributedContext) -> tuple[dict[str, float], float]:
        """Return the mean losses over all processes and the steps per second, then reset.

        A loss without any finite step is omitted.
        """
        totals: Counter[str] = Counter()
        counts: Counter[str] = Counter()
        for names, sums in self._sums.items():
            *values, count = context.mean(sums).tolist()
            for name, value in zip(names, values, strict=True):
                totals[name] += value
                counts[name] += count
        speed = self._steps / max(time.monotonic() - self._start, 1e-9)
        self._sums, self._steps, self._start = {}, 0, time.monotonic()
        self._speeds.append(speed)
        return {name: total / counts[name] for name, total in totals.items() if counts[name]}, speed

    def median_steps_per_s(self) -> float:
        """Return the median steps per second of recent log entries; 0 before the first."""
        return statistics.median(self._speeds) if self._speeds else 0.0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Exclude the time spent in this context from the speed."""
        paused = time.monotonic()
        try:
            yield
        finally:
            self._start += time.monotonic() - paused
