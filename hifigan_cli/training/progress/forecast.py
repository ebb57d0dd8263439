"""When the error reaches its bar, at the pace of this run.

The validation error falls about evenly with the logarithm of the steps: through the official V1's
errors between 140 k and 500 k steps goes a line that meets 0.23 at 1.13 M steps, where the curve
itself has it at 1.19 M. So this run's own errors are continued in that way, and not far: only where
the line is sure to fall, and up to four times the steps done. What is beyond is not told.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hifigan_cli.training.progress.trend import trend

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

REACH = 4.0  # as far as the line is continued, and as far back as it looks, in ratios of steps
_LEAST_POINTS = 5
_SURE = 4.0  # standard errors between the slope and zero


@dataclass(frozen=True)
class Forecast:
    """When the error should be at its bar.

    Attributes:
        bar: the error that is waited for.
        step: about where it is reached.
        left_s: about how much longer that trains, in seconds; validations and saves come on top.
    """

    bar: float
    step: int
    left_s: float


def pace(speeds: Iterable[float]) -> float:
    """Return the steps a second that a run goes on at, out of what its reports said.

    The median: a report during which something was compiled or searched for says nothing of it.

    >>> pace([0.02, 10.0, 10.2])
    10.0
    """
    return statistics.median(speeds)


def forecast(
    validations: Sequence[tuple[int, float]], bar: float, steps_per_s: float
) -> Forecast | None:
    """Continue the errors to the bar; None where it is reached already or cannot be told.

    `validations` are steps and errors, in the order of the steps, up to now.

    >>> points = [(step * 1000, 0.5 - 0.03 * math.log(step)) for step in (100, 150, 200, 250, 300)]
    >>> forecast(points, 0.31, 5.0)
    Forecast(bar=0.31, step=563030, left_s=52606.0)
    """
    if not validations or steps_per_s <= 0:
        return None
    now, error = validations[-1]
    recent = [point for point in validations if point[0] > 0 and point[0] >= now / REACH]
    if error < bar or len(recent) < _LEAST_POINTS:
        return None
    line = trend([math.log(step) for step, _ in recent], [value for _, value in recent])
    if not line.falls(_SURE):
        return None
    log_step = (bar - line.start) / line.slope
    if not math.log(now) < log_step <= math.log(now * REACH):
        return None
    step = round(math.exp(log_step))
    return Forecast(bar, step, (step - now) / steps_per_s)
