"""The result of an evaluation: values of all clips, means with intervals, CSV and JSON."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hifigan_cli.evaluation.clips import COMPARISON_RATE
from hifigan_cli.evaluation.pairing import FilePair
from hifigan_cli.evaluation.thresholds import ThresholdResult, threshold_limits

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hifigan_cli.errors import HifiganError
    from hifigan_cli.evaluation.metrics import Metric, MetricColumn, Scores

_RESAMPLES = 2000
_CONFIDENCE = 0.95
_SEED = 0  # fixed, so that the same values give the same interval


@dataclass(frozen=True)
class MetricSummary:
    """The mean of a value over clips, with a 95 % confidence interval.

    Attributes:
        mean: over the clips that have the value.
        low, high: the ends of the interval; None for fewer than two clips.
        clips: how many clips have the value.
    """

    mean: float
    low: float | None
    high: float | None
    clips: int


@dataclass(frozen=True)
class ClipScores(FilePair):
    """The scores of one clip, with the compared length in seconds and notes for the user."""

    length_s: float
    values: Scores
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the clip as JSON-compatible data."""
        return {
            "name": self.name,
            "reference": str(self.reference),
            "generated": str(self.generated),
            "length_s": self.length_s,
            "metrics": self.values,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Report:
    """The result of `evaluate`.

    Attributes:
        clips: the scores of every clip that could be compared.
        metrics: the metrics that were computed.
        skipped_metrics: the metrics that were skipped because a package is not installed.
        lag_samples: the common delay at 22 050 Hz by which the results were shifted.
        unmatched_references, unmatched_generated: files without a partner.
        failures: the names of clips that could not be compared, and the errors.
    """

    clips: tuple[ClipScores, ...]
    metrics: tuple[Metric, ...]
    skipped_metrics: tuple[Metric, ...] = ()
    lag_samples: int = 0
    unmatched_references: tuple[Path, ...] = ()
    unmatched_generated: tuple[Path, ...] = ()
    failures: tuple[tuple[str, HifiganError], ...] = ()

    @property
    def columns(self) -> tuple[MetricColumn, ...]:
        """The columns of the computed metrics, in the order of the table."""
        return tuple(column for metric in self.metrics for column in metric.columns)

    @property
    def lag_ms(self) -> float:
        """The delay in milliseconds."""
        return 1000 * self.lag_samples / COMPARISON_RATE

    def summary(self, column: str) -> MetricSummary | None:
        """Summarize a column over all clips; return None if no clip has a value."""
        values = [v for clip in self.clips if (v := clip.values.get(column)) is not None]
        return summarize(values) if values else None

    def as_csv(self) -> str:
        """Return CSV with a row per clip: name, files, seconds, values (empty if unknown)."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        names = [column.name for column in self.columns]
        writer.writerow(["name", "reference", "generated", "length_s", *names])
        for clip in self.clips:
            values = (clip.values[name] for name in names)
            cells = ("" if value is None else f"{value:.6g}" for value in values)
            paths = str(clip.reference), str(clip.generated)
            writer.writerow([clip.name, *paths, f"{clip.length_s:.3f}", *cells])
        return text.getvalue()

    def as_json(
        self, threshold: str | None = None, results: Sequence[ThresholdResult] = ()
    ) -> dict[str, Any]:
        """Return the means and the results of a threshold as JSON-compatible data."""
        summaries = {column.name: self.summary(column.name) for column in self.columns}
        return {
            "clips": len(self.clips),
            "lag_ms": self.lag_ms,
            "metrics": {name: summary and asdict(summary) for name, summary in summaries.items()},
            "skipped_metrics": {
                metric.name: list(metric.missing) for metric in self.skipped_metrics
            },
            "unmatched_references": [str(path) for path in self.unmatched_references],
            "unmatched_generated": [str(path) for path in self.unmatched_generated],
            "failed": [
                {"name": name, "message": error.message, "exit_code": error.exit_code}
                for name, error in self.failures
            ],
            "threshold": threshold,
            "results": [
                {"metric": r.column, "limit": r.limit, "mean": r.mean, "passed": r.passed}
                for r in results
            ],
        }


def summarize(values: Sequence[float]) -> MetricSummary:
    """Return the mean of values and its bootstrap interval (Efron 1979, percentile method).

    >>> summarize([1.0, 3.0]).mean
    2.0
    >>> summarize([1.0])
    MetricSummary(mean=1.0, low=None, high=None, clips=1)
    """
    data = np.asarray(values, np.float64)
    mean = float(data.mean())
    if len(data) == 1:
        return MetricSummary(mean, None, None, 1)
    draws = np.random.default_rng(_SEED).integers(len(data), size=(_RESAMPLES, len(data)))
    tail = 100 * (1 - _CONFIDENCE) / 2
    low, high = np.percentile(data[draws].mean(axis=1), [tail, 100 - tail])
    return MetricSummary(mean, float(low), float(high), len(data))


def check_threshold(report: Report, name: str) -> tuple[ThresholdResult, ...]:
    """Compare the means of a report with a threshold; a missing mean fails.

    Raises:
        UsageError: the threshold is unknown.
    """
    results = []
    for column, bound in threshold_limits(name).items():
        summary = report.summary(column)
        results.append(ThresholdResult(column, bound, summary.mean if summary else None))
    return tuple(results)
