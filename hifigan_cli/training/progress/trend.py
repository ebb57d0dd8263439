"""A straight line through noisy figures: a validation alone says little, its neighbours more."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Trend(NamedTuple):
    """A line by least squares: its value at x = 0, its slope, and the slope's standard error."""

    start: float
    slope: float
    doubt: float

    def rises(self, times: float) -> bool:
        """Whether the slope is above zero by so many standard errors."""
        return self.slope > times * self.doubt and self.slope > 0

    def falls(self, times: float) -> bool:
        """Whether the slope is below zero by so many standard errors."""
        return -self.slope > times * self.doubt and self.slope < 0


def trend(xs: Sequence[float], ys: Sequence[float]) -> Trend:
    """Fit a line to at least three points with different x.

    >>> line = trend([1, 2, 3, 4], [3, 5, 7, 9])
    >>> line.start, line.slope, round(line.doubt, 9)
    (1.0, 2.0, 0.0)
    """
    count = len(xs)
    mean_x, mean_y = sum(xs) / count, sum(ys) / count
    width = sum((x - mean_x) ** 2 for x in xs)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / width
    start = mean_y - slope * mean_x
    left = sum((y - start - slope * x) ** 2 for x, y in zip(xs, ys, strict=True))
    return Trend(start, slope, math.sqrt(left / (count - 2) / width))
