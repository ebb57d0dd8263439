"""Losses and speed between two reports, without making the device wait at each step."""

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

_SPEEDS = 50  # reports whose median is the pace


class Meter:
    """Adds up losses on the device, and measures the steps per second.

    Steps whose losses are not all finite are left out of the means.
    """

    def __init__(self) -> None:
        # By the names of a step's losses: their sums, and last the number of steps that count.
        self._sums: dict[tuple[str, ...], Tensor] = {}
        self._steps = 0
        self._since = time.monotonic()
        self._speeds: deque[float] = deque(maxlen=_SPEEDS)

    def add(self, losses: Mapping[str, Tensor]) -> None:
        """Count one step."""
        names, values = tuple(losses), list(losses.values())
        row = torch.stack([*values, torch.ones_like(values[0])])
        row = torch.where(torch.isfinite(row).all(), row, 0.0)
        self._sums[names] = self._sums[names] + row if names in self._sums else row
        self._steps += 1

    def means(self, context: DistributedContext) -> tuple[dict[str, float], float]:
        """Return the mean losses over all processes, and steps per second; start over.

        A loss that no step counts for is left out.
        """
        totals: Counter[str] = Counter()
        counts: Counter[str] = Counter()
        for names, sums in self._sums.items():
            *values, count = context.mean(sums).tolist()
            for name, value in zip(names, values, strict=True):
                totals[name] += value
                counts[name] += count
        speed = self._steps / max(time.monotonic() - self._since, 1e-9)
        self._sums, self._steps, self._since = {}, 0, time.monotonic()
        self._speeds.append(speed)
        return {name: total / counts[name] for name, total in totals.items() if counts[name]}, speed

    def pace(self) -> float:
        """Return the median of the last reports' steps per second; 0 before the first."""
        return statistics.median(self._speeds) if self._speeds else 0.0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time of what happens inside out of the speed."""
        paused = time.monotonic()
        try:
            yield
        finally:
            self._since += time.monotonic() - paused
