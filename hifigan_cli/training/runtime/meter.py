"""Losses and speed between two reports, without making the device wait at each step."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from hifigan_cli.training.step import Losses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from hifigan_cli.runtime.distributed import DistributedContext


class Stopwatch:
    """Steps a second between two readings; it stands still while validating and saving."""

    def __init__(self) -> None:
        self._steps = 0
        self._since = time.monotonic()

    def step(self) -> None:
        """Count one step."""
        self._steps += 1

    def read(self) -> float:
        """Return the steps a second since the last reading; start anew."""
        speed = self._steps / max(time.monotonic() - self._since, 1e-9)
        self._steps, self._since = 0, time.monotonic()
        return speed

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out the time of what is done inside."""
        paused = time.monotonic()
        try:
            yield
        finally:
            self._since += time.monotonic() - paused


class Meter(Stopwatch):
    """Adds up losses on the device, and counts their steps.

    Steps whose figures are not all finite are left out of the means.
    """

    def __init__(self) -> None:
        super().__init__()
        self._sum: Tensor | None = None  # of each figure, and last of the steps that count

    def add(self, losses: Losses) -> None:
        """Count one step."""
        values = torch.stack([*losses, torch.ones_like(losses.mel)])
        values = torch.where(torch.isfinite(values).all(), values, 0.0)
        self._sum = values if self._sum is None else self._sum + values
        self.step()

    def means(self, ranks: DistributedContext) -> tuple[dict[str, float], float]:
        """Return the means by name, over all processes, and steps a second; start anew.

        There are no means where no step counts.
        """
        if self._sum is None:
            return {}, 0.0
        *sums, count = ranks.mean(self._sum).tolist()
        self._sum, speed = None, self.read()
        if not count:
            return {}, speed
        return {name: s / count for name, s in zip(Losses._fields, sums, strict=True)}, speed
