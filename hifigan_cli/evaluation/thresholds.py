"""Thresholds: limits on several means at once, which results of a class of models keep.

No metric is enough by itself: Griffin-Lim beats a converged V1 on the mel up to 8 kHz. The limits
of V1, V2 and V3 lie a little below what the official models reach on recordings that they never
saw; every release must pass `release`.
"""

from __future__ import annotations

from dataclasses import dataclass

from hifigan_cli.config.presets import MEL_L1_FULL_LIMITS
from hifigan_cli.errors import UsageError, closest

# A mean over fewer clips is not reliable.
FEWEST_CLIPS = 20
_NAMES = ("v1", "v2", "v3", "release")
_LIMITS = {
    "mel_l1": (0.215, 0.33, 0.355, None),
    "mel_l1_full": (*MEL_L1_FULL_LIMITS.values(), 0.53),
    "log_magnitude": (0.73, 0.80, 0.82, None),
    "mcd": (3.75, 4.35, 4.6, None),
    "pesq": (3.5, 2.9, 2.7, None),
    "estoi": (0.95, 0.915, 0.90, None),
    "periodicity_rmse": (0.10, 0.12, 0.12, 0.14),
    "vuv_error": (6.5, 8.0, 8.5, 17.0),
    "silence_delta": (1.0, 1.2, 1.5, None),
    "high_bias": (1.5, 2.0, 2.0, 10.0),
}
# Threshold -> column -> limit.
THRESHOLDS = {
    name: {column: limit for column, row in _LIMITS.items() if (limit := row[place]) is not None}
    for place, name in enumerate(_NAMES)
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
