"""Bars: what the results of a class of models reach, as a conjunction of limits on means.

No figure alone is enough: Griffin-Lim beats a converged V1 on the mel up to 8 kHz. The limits of
V1, V2 and V3 lie a little below what the official models reach on recordings that they never saw;
`release` is what no release may fall below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hifigan_cli.errors import UsageError, closest

if TYPE_CHECKING:
    from hifigan_cli.evaluation.report import Report

# A mean over fewer clips says little.
LEAST_CLIPS = 20


@dataclass(frozen=True)
class Limit:
    """What a mean must be: `below` or `above` a bound, or `within` it on both sides of zero."""

    column: str
    kind: Literal["below", "above", "within"]
    bound: float

    def holds(self, mean: float) -> bool:
        """Tell whether a mean keeps the limit."""
        if self.kind == "above":
            return mean > self.bound
        return (abs(mean) if self.kind == "within" else mean) < self.bound

    def __str__(self) -> str:
        sign = {"below": "<", "above": ">", "within": "±"}[self.kind]
        return f"{sign}{self.bound:g}"


@dataclass(frozen=True)
class Verdict:
    """A limit, the mean that was judged (None: could not be), and the clips that it is over."""

    limit: Limit
    mean: float | None

    @property
    def passed(self) -> bool:
        """Whether the limit is kept; what could not be judged is not."""
        return self.mean is not None and self.limit.holds(self.mean)


def _class(**bounds: float) -> tuple[Limit, ...]:
    above, within = {"pesq", "estoi"}, {"high_bias"}
    return tuple(
        Limit(c, "above" if c in above else "within" if c in within else "below", bound)
        for c, bound in bounds.items()
    )


BARS = {
    "v1": _class(
        mel_l1=0.215,
        mel_l1_full=0.23,
        log_magnitude=0.73,
        mcd=3.75,
        pesq=3.5,
        estoi=0.95,
        periodicity_rmse=0.10,
        vuv_error=6.5,
        silence_delta=1.0,
        high_bias=1.5,
    ),
    "v2": _class(
        mel_l1=0.33,
        mel_l1_full=0.335,
        log_magnitude=0.80,
        mcd=4.35,
        pesq=2.9,
        estoi=0.915,
        periodicity_rmse=0.12,
        vuv_error=8.0,
        silence_delta=1.2,
        high_bias=2.0,
    ),
    "v3": _class(
        mel_l1=0.355,
        mel_l1_full=0.36,
        log_magnitude=0.82,
        mcd=4.6,
        pesq=2.7,
        estoi=0.90,
        periodicity_rmse=0.12,
        vuv_error=8.5,
        silence_delta=1.5,
        high_bias=2.0,
    ),
    "release": _class(mel_l1_full=0.53, periodicity_rmse=0.14, vuv_error=17.0, high_bias=10.0),
}


def limits_of(bar: str) -> tuple[Limit, ...]:
    """Return the limits of a bar by name.

    Raises:
        UsageError: there is no such bar.
    """
    if bar not in BARS:
        raise UsageError(f"no bar is called {bar}", closest(bar, BARS) or " ".join(BARS))
    return BARS[bar]


def judge(report: Report, bar: str) -> tuple[Verdict, ...]:
    """Hold a report's means against a bar; what was not measured cannot pass.

    Raises:
        UsageError: there is no such bar.
    """
    verdicts = []
    for limit in limits_of(bar):
        summary = report.summary(limit.column)
        verdicts.append(Verdict(limit, summary.mean if summary else None))
    return tuple(verdicts)
