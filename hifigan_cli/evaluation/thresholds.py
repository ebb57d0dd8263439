"""Thresholds: limits on several means at once, which results of a class of models keep.

No metric is enough by itself: Griffin-Lim beats a converged V1 on the mel up to 8 kHz. The limits
of V1, V2 and V3 lie a little below what the official models reach on recordings that they never
saw; every release must pass `release`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hifigan_cli.errors import UsageError, closest

if TYPE_CHECKING:
    from hifigan_cli.evaluation.report import Report

# A mean over fewer clips is not reliable.
FEWEST_CLIPS = 20
THRESHOLDS = {
    "v1": {
        "mel_l1": 0.215,
        "mel_l1_full": 0.23,
        "log_magnitude": 0.73,
        "mcd": 3.75,
        "pesq": 3.5,
        "estoi": 0.95,
        "periodicity_rmse": 0.10,
        "vuv_error": 6.5,
        "silence_delta": 1.0,
        "high_bias": 1.5,
    },
    "v2": {
        "mel_l1": 0.33,
        "mel_l1_full": 0.335,
        "log_magnitude": 0.80,
        "mcd": 4.35,
        "pesq": 2.9,
        "estoi": 0.915,
        "periodicity_rmse": 0.12,
        "vuv_error": 8.0,
        "silence_delta": 1.2,
        "high_bias": 2.0,
    },
    "v3": {
        "mel_l1": 0.355,
        "mel_l1_full": 0.36,
        "log_magnitude": 0.82,
        "mcd": 4.6,
        "pesq": 2.7,
        "estoi": 0.90,
        "periodicity_rmse": 0.12,
        "vuv_error": 8.5,
        "silence_delta": 1.5,
        "high_bias": 2.0,
    },
    "release": {
        "mel_l1_full": 0.53,
        "periodicity_rmse": 0.14,
        "vuv_error": 17.0,
        "high_bias": 10.0,
    },
}
# How a mean compares with its limit; below it, where nothing is given.
_SIGNS = {"pesq": ">", "estoi": ">", "high_bias": "±"}


@dataclass(frozen=True)
class ThresholdResult:
    """A limit on a metric's column, and the mean that was compared (None: it is not known)."""

    column: str
    bound: float
    mean: float | None

    @property
    def sign(self) -> str:
        """`<` or `>` for a mean below or above the bound, `±` for one within it around zero."""
        return _SIGNS.get(self.column, "<")

    @property
    def limit(self) -> str:
        """The limit in words, as in `<0.215`."""
        return f"{self.sign}{self.bound:g}"

    @property
    def passed(self) -> bool:
        """Whether the mean keeps the limit; an unknown mean does not."""
        if self.mean is None:
            return False
        if self.sign == ">":
            return self.mean > self.bound
        return (abs(self.mean) if self.sign == "±" else self.mean) < self.bound


def limits_of(name: str) -> dict[str, float]:
    """Return the limits of a threshold by column.

    Raises:
        UsageError: there is no such threshold.
    """
    if name not in THRESHOLDS:
        hint = closest(name, THRESHOLDS) or " ".join(THRESHOLDS)
        raise UsageError(f"no threshold is called {name}", hint)
    return THRESHOLDS[name]


def check_threshold(report: Report, name: str) -> tuple[ThresholdResult, ...]:
    """Compare a report's means with a threshold; a mean that is missing cannot pass.

    Raises:
        UsageError: there is no such threshold.
    """
    results = []
    for column, bound in limits_of(name).items():
        summary = report.summary(column)
        results.append(ThresholdResult(column, bound, summary.mean if summary else None))
    return tuple(results)
