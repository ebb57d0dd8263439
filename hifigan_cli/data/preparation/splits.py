"""Training and validation.

LJSpeech has an official split: every published model was validated on the same 150 clips. For any
other corpus a clip's split depends only on its name and the seed, so that clips that are added
later do not move the others.
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

DEFAULT_SHARE = 0.05
MAX_DEFAULT_CLIPS = 150  # as many as LJSpeech has: more only make each validation slower


@dataclass(frozen=True)
class Division:
    """Which clips are for validation, by stem, and how they were chosen."""

    kind: Literal["official", "seeded", "shared"]
    validation: frozenset[str]

    def split(self, stem: str) -> Split:
        """Return the split of a clip."""
        if self.kind == "shared":
            return "both"
        return "validation" if stem in self.validation else "training"


def parse_validation(text: str | None) -> float | int | None:
    """Read a share (0.05, 5%) or a count (150) of validation clips.

    Raises:
        UsageError: it is neither.

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
        f"--validation {text!r} is neither a share nor a count", "write 0.05, 5% or 150"
    )


def divide(
    stems: Collection[str], wanted: float | int | None, seed: int, official: bool
) -> Division:
    """Choose the validation clips: a share, a count, or None for what the corpus suggests.

    `official` says that the clips are LJSpeech's. Of several clips at least one is left on each
    side; a single one serves for both.
    """
    distinct = set(stems)
    if len(distinct) == 1:
        return Division("shared", frozenset(distinct))
    if official and wanted is None:
        chosen = frozenset(s for s in distinct if s.rpartition("/")[2] in official_ids())
        if 0 < len(chosen) < len(distinct):
            return Division("official", chosen)
    ranked = sorted(distinct, key=lambda stem: (_place(stem, seed), stem))
    if wanted is None or wanted < 1:
        share = DEFAULT_SHARE if wanted is None else wanted
        count = sum(_place(stem, seed) < share for stem in ranked)
        if wanted is None:
            count = min(count, MAX_DEFAULT_CLIPS)
    else:
        count = int(wanted)
    count = min(max(1, count), len(ranked) - 1)
    return Division("seeded", frozenset(ranked[:count]))


@cache
def official_ids() -> frozenset[str]:
    """Return the 150 validation ids of LJSpeech that the official code uses."""
    text = resources.files("hifigan_cli").joinpath("assets/ljspeech-validation-ids.txt").read_text()
    return frozenset(text.split())


def _place(stem: str, seed: int) -> float:
    """Return a clip's place between 0 and 1, even over all names."""
    # Names that are not UTF-8 carry surrogates, which plain encoding refuses.
    digest = hashlib.sha256(f"{seed}:{stem}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
