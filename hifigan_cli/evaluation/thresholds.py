"""Thresholds: limits on the means of several metrics at once, for each class of models.

No metric is sufficient by itself: Griffin-Lim has a better mel up to 8 kHz than a converged V1. The
limits of V1, V2 and V3 are slightly looser than what the official models reach on unseen
recordings. Every release must pass `release`.
"""

from __future__ import annotations

from dataclasses import dataclass

from hifigan_cli.config.presets import MEL_L1_FULL_LIMITS
from hifigan_cli.errors import UsageError, did_you_mean

# The mean of fewer clips is unreliable.
MIN_CLIPS = 20
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
    name: {column: limit for column, row in _LIMITS.items() if (limit := row[index]) is not None}
    for index, name in enumerate(_NAMES)
}
# How a mean must compare with its limit; default: below it.
_SIGNS = {"pesq": ">", "estoi": ">", "high_bias": "±"}


@dataclass(frozen=True)
class ThresholdResult:
    """A limit on a column, and the mean that was compared with it (None if unknown)."""

    column: str
    bound: float
    mean: float | None

    @property
    def sign(self) -> str:
        """`<` or `>` if the mean must be below or above the bound, `±` if within it around zero."""
        return _SIGNS.get(self.column, "<")

    @property
    def limit(self) -> str:
        """The limit as text, for example `<0.215`."""
        return f"{self.sign}{self.bound:g}"

    @property
    def passed(self) -> bool:
        """Whether the mean is within the limit; an unknown mean is not."""
        if self.mean is None:
            return False
        if self.sign == ">":
            return self.mean > self.bound
        return (abs(self.mean) if self.sign == "±" else self.mean) < self.bound


def threshold_limits(name: str) -> dict[str, float]:
    """Return the limits of a threshold by column.

    Raises:
        UsageError: the threshold is unknown.
    """
    if name not in THRESHOLDS:
        hint = did_you_mean(name, THRESHOLDS) or " ".join(THRESHOLDS)
        raise UsageError(f"unknown threshold {name}", hint)
    return THRESHOLDS[name]
