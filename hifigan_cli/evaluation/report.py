"""What an evaluation found: the figures of every clip, and their means with intervals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.evaluation.metrics.pair import COMPARED_RATE_HZ

if TYPE_CHECKING:
    from pathlib import Path

    from hifigan_cli.errors import HifiganError
    from hifigan_cli.evaluation.measures import Column, Measure, Scores

_RESAMPLES = 2000
_CONFIDENCE = 0.95
_SEED = 0  # the same figures give the same interval


@dataclass(frozen=True)
class Summary:
    """A figure over clips: the mean, and the interval that holds it in 95 of 100 draws of clips.

    Attributes:
        mean: over the clips that have the figure.
        low, high: the ends of the interval; None with fewer than two clips.
        clips: how many have the figure.
    """

    mean: float
    low: float | None
    high: float | None
    clips: int


@dataclass(frozen=True)
class ClipScores:
    """One clip: its name, its two files, its length in seconds, its figures, and what to know."""

    name: str
    reference: Path
    hypothesis: Path
    length_s: float
    values: Scores
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """The result of `evaluate`.

    Attributes:
        clips: the figures of every clip that could be compared, by name.
        measures: what was measured.
        left_out: what was not, because its package is not installed.
        lag_samples: by how much the results were late, at 22 050 Hz; they were shifted by it.
        lonely_references, lonely_hypotheses: files without a partner.
        failures: names of clips that could not be compared, and why.
    """

    clips: tuple[ClipScores, ...]
    measures: tuple[Measure, ...]
    left_out: tuple[Measure, ...] = ()
    lag_samples: int = 0
    lonely_references: tuple[Path, ...] = ()
    lonely_hypotheses: tuple[Path, ...] = ()
    failures: tuple[tuple[str, HifiganError], ...] = field(default=())

    @property
    def columns(self) -> tuple[Column, ...]:
        """The figures that were measured, in the order of the table."""
        return tuple(column for measure in self.measures for column in measure.columns)

    @property
    def lag_ms(self) -> float:
        """The shift in milliseconds."""
        return 1000 * self.lag_samples / COMPARED_RATE_HZ

    def summary(self, column: str) -> Summary | None:
        """Return a figure over all clips, or None where no clip has it."""
        values = [v for clip in self.clips if (v := clip.values.get(column)) is not None]
        return summarise(values) if values else None


def summarise(values: list[float]) -> Summary:
    """Return the mean of clips' figures and its bootstrap interval (Efron 1979, percentiles).

    >>> summarise([1.0, 3.0]).mean
    2.0
    >>> summarise([1.0])
    Summary(mean=1.0, low=None, high=None, clips=1)
    """
    data = np.asarray(values, np.float64)
    mean = float(data.mean())
    if len(data) == 1:
        return Summary(mean, None, None, 1)
    draws = np.random.default_rng(_SEED).integers(len(data), size=(_RESAMPLES, len(data)))
    tail = 100 * (1 - _CONFIDENCE) / 2
    low, high = np.percentile(data[draws].mean(axis=1), [tail, 100 - tail])
    return Summary(mean, float(low), float(high), len(data))
