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

    from hifigan_cli.training.runtime.distributed import Ranks


class Meter:
    """Adds up losses on the device; the clock stands still while validating and saving."""

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._steps = 0
        self._since = time.monotonic()

    def add(self, losses: Losses) -> None:
        """Count one step."""
        values = torch.stack(list(losses))
        self._sum = values if self._sum is None else self._sum + values
        self._steps += 1

    def read(self, ranks: Ranks) -> tuple[dict[str, float], float]:
        """Return the means by name, over all processes, and steps a second; start anew."""
        if self._sum is None:
            return {}, 0.0
        means = ranks.mean(self._sum / self._steps).tolist()
        speed = self._steps / max(time.monotonic() - self._since, 1e-9)
        self._sum, self._steps, self._since = None, 0, time.monotonic()
        return dict(zip(Losses._fields, means, strict=True)), speed

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out the time of what is done inside."""
        paused = time.monotonic()
        try:
            yield
        finally:
            self._since += time.monotonic() - paused
