"""What is measured of a mel to tell its convention: every value once, and a sample more closely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hifigan_cli.types import AnyArray, DoubleArray

_LARGEST = np.float64(1e30)  # no scale comes near; its conversions fit into single precision
_BLOCK_FRAMES = 4096
# The sample: runs of successive frames, spread evenly over the mel.
_RUN_FRAMES, _RUNS = 128, 32
_LEAST_SHARED = 3  # equal values make a floor


@dataclass(frozen=True)
class Evidence:
    """Measures of a mel `(mels, frames)`, in its own units.

    Attributes:
        frames: how many.
        low, high: the extreme values; of the finite ones.
        bad: band and frame of the first value that is not a number, or None; with one, nothing
            below is measured.
        at_floor: share of values that are the lowest one: a floor, where it is more than chance.
        typical: the median of those above it.
        step: the median change from frame to frame above the floor. Sound is restless to a degree
            that hardly depends on what it is: 0.2 to 0.4 in natural-log units of magnitude. This
            is the ruler that tells the base of a logarithm.
        log_step: the same of the natural log of the values; 0 where some are negative.
        movement: the mean over bands of the standard deviation in time.
        offset: the root mean square over bands of the mean in time.
    """

    frames: int
    low: float
    high: float
    bad: tuple[int, int] | None
    at_floor: float = 0.0
    typical: float = 0.0
    step: float = 0.0
    log_step: float = 0.0
    movement: float = 0.0
    offset: float = 0.0

    @property
    def spread(self) -> float:
        """The distance from the lowest value to the highest."""
        return self.high - self.low


def measure(mel: AnyArray) -> Evidence:
    """Measure a mel `(mels, frames)` of floating-point numbers, in flat memory."""
    low, high, bad = np.inf, -np.inf, None
    for start in range(0, mel.shape[1], _BLOCK_FRAMES):
        part = np.asarray(mel[:, start : start + _BLOCK_FRAMES])
        finite = np.abs(part) < _LARGEST  # and a number at all
        if not finite.all():
            if bad is None:
                band, frame = (int(place) for place in np.argwhere(~finite)[0])
                bad = band, start + frame
            part = part[finite]
        if part.size:
            low, high = min(low, float(part.min())), max(high, float(part.max()))
    if bad is not None:
        return Evidence(mel.shape[1], low, high, bad)
    frames = mel.shape[1]
    if frames <= _RUN_FRAMES * _RUNS:
        runs = [np.array(mel, np.float64)]
    else:
        starts = np.linspace(0, frames - _RUN_FRAMES, _RUNS).astype(int)
        runs = [np.array(mel[:, at : at + _RUN_FRAMES], np.float64) for at in starts]
    sample = np.concatenate(runs, axis=1)
    floor = low + 1e-6 * max(1.0, abs(low))
    above = sample[sample > floor]
    shared = sample.size - above.size
    logs = [np.log(np.maximum(run, 1e-30)) for run in runs] if low >= 0 else []
    log_step = _step(logs, -69.0) if logs else 0.0
    return Evidence(
        frames=frames,
        low=low,
        high=high,
        bad=None,
        at_floor=shared / sample.size if shared >= _LEAST_SHARED else 0.0,
        typical=float(np.median(above)) if above.size else low,
        step=_step(runs, floor),
        log_step=log_step,
        movement=float(sample.std(axis=1).mean()),
        offset=float(np.sqrt((sample.mean(axis=1) ** 2).mean())),
    )


def _step(runs: list[DoubleArray], floor: float) -> float:
    changes = []
    for run in runs:
        heard = (run[:, 1:] > floor) & (run[:, :-1] > floor)
        changes.append(np.abs(np.diff(run, axis=1))[heard])
    together = np.concatenate(changes)
    return float(np.median(together)) if together.size else 0.0
