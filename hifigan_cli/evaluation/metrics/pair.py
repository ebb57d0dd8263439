"""What every metric that compares gets: two clips of one rate and one length, in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hifigan_cli.types import FloatArray

# Everything is compared at the rate of the reference figures and of the bars.
COMPARED_RATE_HZ = 22_050


@dataclass(frozen=True)
class Pair:
    """One channel of a recording and of what was made of it, `(samples,)` each.

    Attributes:
        reference: the recording.
        hypothesis: what is judged, aligned with it and equally long.
        rate_hz: samples per second of both.
        top_hz: the highest frequency that both files can hold; above it nothing is judged.
    """

    reference: FloatArray
    hypothesis: FloatArray
    rate_hz: int = COMPARED_RATE_HZ
    top_hz: float = COMPARED_RATE_HZ / 2
