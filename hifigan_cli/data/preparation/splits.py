"""Select the validation clips.

LJSpeech has an official split: every published model was validated on the same 150 clips. For any
other corpus a clip's split depends only on its name and the seed, so adding clips later does not
move the others.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Literal

from hifigan_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection

    from hifigan_cli.data.records import Split

DEFAULT_VALIDATION_FRACTION = 0.05
MAX_DEFAULT_VALIDATION_CLIPS = 150  # like LJSpeech; more clips only slow down each validation


@dataclass(frozen=True)
class ValidationSplit:
    """The stems of the validation clips, and how they were chosen."""

    kind: Literal["official", "random", "shared"]
    validation: frozenset[str]

    def split_of(self, stem: str) -> Split:
        """Return the split of a clip."""
        if self.kind == "shared":
            return "both"
        return "validation" if stem in self.validation else "training"


def parse_validation(text: str | None) -> float | int | None:
    """Parse a fraction (0.05, 5%) or a count (150) of validation clips.

    Raises:
        UsageError: `text` is neither.

    >>> parse_validation("5%"), parse_validation("0.1"), parse_validation("150")
    (0.05, 0.1, 150)
    """
    if text is None:
        return None
    number = text.strip().removesuffix("%")
    try:
        value = float(number) / 100 if text.strip().endswith("%") else float(number)
    except ValueError:
        value = 0.0
    if 0 < value < 1:
        return value
    if value >= 1 and number.isdecimal() and number == text.strip():
        return int(number)
    raise UsageError(
        f"--validation {text!r} is neither a fraction nor a count", "use 0.05, 5% or 150"
    )


def choose_validation(
    stems: Collection[str], requested: float | int | None, seed: int, is_ljspeech: bool
) -> ValidationSplit:
    """Choose the validation clips: a fraction, a count, or None for the default.

    With two or more clips each split has at least one; a single clip is in both.
    """
    distinct = set(stems)
    if len(distinct) == 1:
        return ValidationSplit("shared", frozenset(distinct))
    if is_ljspeech and requested is None:
        chosen = frozenset(s for s in distinct if s.rpartition("/")[2] in official_ids())
        if 0 < len(chosen) < len(distinct):
            return ValidationSplit("official", chosen)
    ranked = sorted(distinct, key=lambda stem: (_hash_fraction(stem, seed), stem))
    if requested is None or requested < 1:
        fraction = DEFAULT_VALIDATION_FRACTION if requested is None else requested
        count = sum(_hash_fraction(stem, seed) < fraction for stem in ranked)
        if requested is None:
            count = min(count, MAX_DEFAULT_VALIDATION_CLIPS)
    else:
        count = int(requested)
    count = min(max(1, count), len(ranked) - 1)
    return ValidationSplit("random", frozenset(ranked[:count]))


@cache
def official_ids() -> frozenset[str]:
    """Return the 150 validation ids of LJSpeech that the official code uses."""
    text = resources.files("hifigan_cli").joinpath("assets/ljspeech-validation-ids.txt").read_text()
    return frozenset(text.split())


def _hash_fraction(stem: str, seed: int) -> float:
    """Hash a clip's name and the seed to a number between 0 and 1, uniformly distributed."""
    # Names that are not UTF-8 contain surrogates, which strict encoding rejects.
    digest = hashlib.sha256(f"{seed}:{stem}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
