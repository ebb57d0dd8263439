"""How far a training has come: its error among the official training's, and when it arrives.

Of V1 the official validation error is known at several steps, of V2 and V3 only at the end. All are
mel_l1_full on LJSpeech clips that the training did not see. Another corpus has another curve, so
the comparison is a yardstick, no more.

The error falls about evenly with the logarithm of the steps: a line through the official V1's
errors between 140 k and 500 k steps meets 0.23 at 1.13 M steps, where the curve itself has it at
1.19 M. A forecast continues this run's own errors in that way: only where the line is sure to fall,
and up to four times the steps done.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hifigan_cli.config.presets import MEL_L1_FULL_LIMITS, PRESETS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hifigan_cli.config import Config

REACH = 4.0  # how far the line is continued, and how far back it looks, in ratios of steps
SURE = 4.0  # standard errors between a slope and zero
_LEAST_POINTS = 5


@dataclass(frozen=True)
class OfficialTraining:
    """What the official training of a preset reached.

    Attributes:
        preset: its name.
        converged: mel_l1_full at the end of the official training.
        curve: steps and mel_l1_full on the way there, in falling order of the error; may be empty.
    """

    preset: str
    converged: float
    curve: tuple[tuple[int, float], ...] = ()

    @property
    def bar(self) -> float:
        """The highest mel_l1_full that a model of this class may have, one threshold of several."""
        return MEL_L1_FULL_LIMITS[self.preset]


OFFICIAL = {
    "v1": OfficialTraining(
        "v1",
        converged=0.214,
        curve=(
            (140_000, 0.287),
            (200_000, 0.275),
            (350_000, 0.260),
            (500_000, 0.253),
            (600_000, 0.247),
            (1_000_000, 0.234),
            (2_000_000, 0.218),
            (2_500_000, 0.214),
        ),
    ),
    "v2": OfficialTraining("v2", converged=0.325),
    "v3": OfficialTraining("v3", converged=0.345),
}


@dataclass(frozen=True)
class Standing:
    """Where an error stands among those of the official training.

    Attributes:
        preset, bar, converged: of the `OfficialTraining`.
        official_steps: after how many steps the official training had this error; None where it is
            higher than the earliest that is known, or lower than the last, or no curve is known.
        earliest: the first known step of the curve, and its error.
    """

    preset: str
    bar: float
    converged: float
    official_steps: int | None
    earliest: tuple[int, float] | None

    def figures(self) -> dict[str, float]:
        """Return the numbers that a run records with each validation."""
        found: dict[str, float] = {"official_converged": self.converged}
        if self.official_steps is not None:
            found["official_steps"] = self.official_steps
        return found


@dataclass(frozen=True)
class Forecast:
    """When the error should be at its bar.

    Attributes:
        bar: the error that is waited for.
        step: about where it is reached.
        left_s: about how much longer that trains, in seconds, without validations and saves.
    """

    bar: float
    step: int
    left_s: float


def official_training(config: Config) -> OfficialTraining | None:
    """Return the official training that has this mel and generator, or None.

    With `overfit` there is nothing to compare: the clips are those that are trained on.
    """
    if config.train.overfit:
        return None
    for name, preset in PRESETS.items():
        if config.mel == preset.mel and config.generator == preset.generator:
            return OFFICIAL[name]
    return None


def stand(official: OfficialTraining, mel_l1_full: float) -> Standing:
    """Find where an error stands.

    >>> stand(OFFICIAL["v1"], 0.281).official_steps
    167332
    """
    steps = _official_steps(official, mel_l1_full)
    earliest = official.curve[0] if official.curve else None
    return Standing(official.preset, official.bar, official.converged, steps, earliest)


def _official_steps(official: OfficialTraining, mel_l1_full: float) -> int | None:
    """Interpolate the curve over the logarithm of the steps; claim nothing beyond its ends."""
    points = zip(official.curve, official.curve[1:], strict=False)
    for (step, error), (next_step, next_error) in points:
        if next_error <= mel_l1_full <= error:
            share = (error - mel_l1_full) / (error - next_error)
            return round(math.exp((1 - share) * math.log(step) + share * math.log(next_step)))
    return None


def forecast(
    validations: Sequence[tuple[int, float]], bar: float, steps_per_s: float
) -> Forecast | None:
    """Continue the errors to the bar; None where it is reached already or cannot be known.

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
    line = fit_line([math.log(step) for step, _ in recent], [value for _, value in recent])
    if line.slope >= -SURE * line.slope_error:
        return None
    log_step = (bar - line.intercept) / line.slope
    if not math.log(now) < log_step <= math.log(now * REACH):
        return None
    step = round(math.exp(log_step))
    return Forecast(bar, step, (step - now) / steps_per_s)


class Line(NamedTuple):
    """A line by least squares, and the standard error of its slope."""

    intercept: float
    slope: float
    slope_error: float


def fit_line(xs: Sequence[float], ys: Sequence[float]) -> Line:
    """Fit a line to at least three points with different x."""
    (slope, intercept), covariance = np.polyfit(xs, ys, 1, cov=True)
    return Line(float(intercept), float(slope), math.sqrt(covariance[0, 0]))
