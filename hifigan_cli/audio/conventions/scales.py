"""The scales that mels come on, and the way from each to the natural log of magnitudes.

A logarithm of another base is the natural one times a factor: nothing is lost. A mel of *power*
sums squared magnitudes over a band, which is not the square of their sum; the two differ by
a factor that is nearly the same for every sound: that conversion is near, not exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from hifigan_cli.config import MelConfig

FLOOR = 1e-5
LOG_FLOOR = math.log(FLOOR)  # the log-mel of silence: -11.513

# ln of a band of magnitudes, less half the ln of the same band of power, less half the ln of the
# filter's weight (n_fft / rate, for filters of equal area): measured on speech of five corpora. It
# spreads by 0.10; for noise it is ln(sqrt(pi) / 2) = -0.12, for a pure tone near 0.
_POWER_OFFSET = -0.114


@dataclass(frozen=True)
class Scale:
    """One scale of mel values.

    Attributes:
        name: as `--mel-as` takes it.
        title: for messages.
        nats: natural-log units of magnitude in one unit of the scale; 0 where there is no log.
        of_power: whether the bands sum squared magnitudes.
    """

    name: str
    title: str
    nats: float
    of_power: bool = False

    @property
    def exact(self) -> bool:
        """Whether the conversion to the natural log loses nothing but what is below the floor."""
        return not self.of_power

    def to_ln(self, values: npt.NDArray[Any], mel: MelConfig) -> npt.NDArray[np.float32]:
        """Convert values of any shape to the natural log, held at the floor of a convention."""
        found = np.asarray(values, np.float64)
        if self.nats:
            found = found * self.nats
        else:
            found = np.log(np.maximum(found, 1e-30)) * (0.5 if self.of_power else 1.0)
        if self.of_power:
            found = found + 0.5 * math.log(mel.n_fft / mel.rate_hz) + _POWER_OFFSET
        return np.maximum(found, LOG_FLOOR).astype(np.float32)


_TEN = math.log(10)
SCALES: dict[str, Scale] = {
    scale.name: scale
    for scale in (
        Scale("ln", "natural log", 1.0),
        Scale("log10", "log10", _TEN),
        Scale("log2", "log2", math.log(2)),
        Scale("db", "decibels", _TEN / 20),
        Scale("magnitude", "magnitudes without a logarithm", 0.0),
        Scale("ln-power", "natural log of power", 0.5, of_power=True),
        Scale("log10-power", "log10 of power", _TEN / 2, of_power=True),
        Scale("db-power", "decibels of power", _TEN / 20, of_power=True),
        Scale("power", "power without a logarithm", 0.0, of_power=True),
    )
}
