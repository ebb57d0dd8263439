"""Compare the error of a run with the official training, and forecast it.

The official validation error of V1 is known at several steps, that of V2 and V3 only at the end.
All are mel_l1_full on LJSpeech clips outside the training set. The curve depends on the corpus, so
the comparison is only a rough guide.

The error falls about linearly with the logarithm of the steps: a line through the official V1's
errors between 140 k and 500 k steps reaches 0.23 at 1.13 M steps, and the curve itself at 1.19 M. A
forecast extrapolates this run's errors in the same way, but only if they clearly fall, and only up
to four times the completed steps.
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

MAX_STEP_RATIO = 4.0  # limits both the extrapolation and the history that is fitted
MIN_T_STATISTIC = 4.0  # minimum ratio of a slope to its standard error
_MIN_POINTS = 5


@dataclass(frozen=True)
class OfficialTraining:
    """The errors of the official training of a preset.

    Attributes:
        preset: the preset's name.
        converged: mel_l1_full at the end of the training.
        curve: steps and mel_l1_full during the training, in falling order of the error, or empty.
    """

    preset: str
    converged: float
    curve: tuple[tuple[int, float], ...] = ()

    @property
    def threshold(self) -> float:
        """The highest mel_l1_full that `evaluate` accepts for a model of this preset."""
        return MEL_L1_FULL_LIMITS[self.preset]


OFFICIAL_TRAININGS = {
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
class OfficialComparison:
    """A run's error compared with the official training.

    Attributes:
        preset, threshold, converged: copied from the `OfficialTraining`.
        official_steps: the steps after which the official training had this error; None if it lies
            outside the known curve, or no curve is known.
        earliest: the first known step of the curve, and its error.
    """

    preset: str
    threshold: float
    converged: float
    official_steps: int | None
    earliest: tuple[int, float] | None

    def metrics(self) -> dict[str, float]:
        """Return the metrics to log with each validation."""
        metrics: dict[str, float] = {"official_converged": self.converged}
        if self.official_steps is not None:
            metrics["official_steps"] = self.official_steps
        return metrics


@dataclass(frozen=True)
class Forecast:
    """When the error should reach the threshold.

    Attributes:
        threshold: the target error.
        step: the estimated step at which it is reached.
        remaining_s: the estimated training time until then, without validations and saves.
    """

    threshold: float
    step: int
    remaining_s: float


def official_training(config: Config) -> OfficialTraining | None:
    """Return the official training with this mel and generator, or None.

    With `overfit` the result is None, because validation uses the training segments.
    """
    if config.train.overfit:
        return None
    for name, preset in PRESETS.items():
        if config.mel == preset.mel and config.generator == preset.generator:
            return OFFICIAL_TRAININGS[name]
    return None


def compare_with_official(official: OfficialTraining, mel_l1_full: float) -> OfficialComparison:
    """Compare an error with the official training.

    >>> compare_with_official(OFFICIAL_TRAININGS["v1"], 0.281).official_steps
    167332
    """
    steps = _official_steps(official, mel_l1_full)
    earliest = official.curve[0] if official.curve else None
    return OfficialComparison(
        official.preset, official.threshold, official.converged, steps, earliest
    )


def _official_steps(official: OfficialTraining, mel_l1_full: float) -> int | None:
    """Interpolate the curve over the logarithm of the steps; return None outside its range."""
    points = zip(official.curve, official.curve[1:], strict=False)
    for (step, error), (next_step, next_error) in points:
        if next_error <= mel_l1_full <= error:
            fraction = (error - mel_l1_full) / (error - next_error)
            return round(math.exp((1 - fraction) * math.log(step) + fraction * math.log(next_step)))
    return None


def forecast(
    validations: Sequence[tuple[int, float]], threshold: float, steps_per_s: float
) -> Forecast | None:
    """Extrapolate the errors to the threshold; None if it is already reached or unpredictable.

    `validations` are the steps and errors so far, in the order of the steps.

    >>> points = [(step * 1000, 0.5 - 0.03 * math.log(step)) for step in (100, 150, 200, 250, 300)]
    >>> forecast(points, 0.31, 5.0)
    Forecast(threshold=0.31, step=563030, remaining_s=52606.0)
    """
    if not validations or steps_per_s <= 0:
        return None
    now, error = validations[-1]
    recent = [point for point in validations if point[0] > 0 and point[0] >= now / MAX_STEP_RATIO]
    if error < threshold or len(recent) < _MIN_POINTS:
        return None
    trend = fit_line([math.log(step) for step, _ in recent], [value for _, value in recent])
    if trend.slope >= -MIN_T_STATISTIC * trend.slope_error:
        return None
    log_step = (threshold - trend.intercept) / trend.slope
    if not math.log(now) < log_step <= math.log(now * MAX_STEP_RATIO):
        return None
    step = round(math.exp(log_step))
    return Forecast(threshold, step, (step - now) / steps_per_s)


class LinearFit(NamedTuple):
    """A least-squares line and the standard error of its slope."""

    intercept: float
    slope: float
    slope_error: float


def fit_line(xs: Sequence[float], ys: Sequence[float]) -> LinearFit:
    """Fit a line to at least three points with different x values."""
    (slope, intercept), covariance = np.polyfit(xs, ys, 1, cov=True)
    return LinearFit(float(intercept), float(slope), math.sqrt(covariance[0, 0]))
