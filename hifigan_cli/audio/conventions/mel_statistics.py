"""Compute statistics of a mel that reveal its convention.

The range covers all values; the other statistics use a subset of the frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hifigan_cli.types import AnyArray, DoubleArray

# No scale comes near this value. Converted, it still fits into single precision.
_MAX_MAGNITUDE = np.float64(1e30)
_BLOCK_FRAMES = 4096
# The subset: runs of successive frames, spread evenly over the mel.
_RUN_FRAMES, _RUNS = 128, 32
_MIN_FLOOR_VALUES = 3  # this many equal values count as a floor


@dataclass(frozen=True)
class MelStatistics:
    """Statistics of a mel `(n_mels, frames)`, in its own units.

    Attributes:
        frames: the number of frames.
        low, high: the extremes of the finite values.
        first_nonfinite: band and frame of the first NaN or infinite value, or None; if there is
            one, none of the following is computed.
        floor_share: share of values that equal the lowest one, or 0 where that may be chance.
        median: the median of the values above the floor.
        median_frame_delta: the median change from frame to frame above the floor. It hardly depends
            on the sound: 0.2 to 0.4 in natural-log units of magnitude. It therefore reveals the
            base of a logarithm.
        median_log_frame_delta: the same of the natural log of the values; 0 if some are negative.
        temporal_std: the standard deviation over time, averaged over bands.
        band_mean_rms: the root mean square over bands of the mean over time.
    """

    frames: int
    low: float
    high: float
    first_nonfinite: tuple[int, int] | None
    floor_share: float = 0.0
    median: float = 0.0
    median_frame_delta: float = 0.0
    median_log_frame_delta: float = 0.0
    temporal_std: float = 0.0
    band_mean_rms: float = 0.0

    @property
    def spread(self) -> float:
        """The distance from the lowest value to the highest."""
        return self.high - self.low


def measure_mel(mel: AnyArray) -> MelStatistics:
    """Compute the statistics of a mel `(n_mels, frames)` of floats, in constant memory."""
    low, high, first_nonfinite = np.inf, -np.inf, None
    for start in range(0, mel.shape[1], _BLOCK_FRAMES):
        block = np.asarray(mel[:, start : start + _BLOCK_FRAMES])
        finite = np.abs(block) < _MAX_MAGNITUDE  # false for NaN too
        if not finite.all():
            if first_nonfinite is None:
                band, frame = (int(index) for index in np.argwhere(~finite)[0])
                first_nonfinite = band, start + frame
            block = block[finite]
        if block.size:
            low, high = min(low, float(block.min())), max(high, float(block.max()))
    if first_nonfinite is not None:
        return MelStatistics(mel.shape[1], low, high, first_nonfinite)
    frames = mel.shape[1]
    if frames <= _RUN_FRAMES * _RUNS:
        runs = [np.array(mel, np.float64)]
    else:
        starts = np.linspace(0, frames - _RUN_FRAMES, _RUNS).astype(int)
        runs = [np.array(mel[:, start : start + _RUN_FRAMES], np.float64) for start in starts]
    sample = np.concatenate(runs, axis=1)
    floor = low + 1e-6 * max(1.0, abs(low))
    above = sample[sample > floor]
    at_floor = sample.size - above.size
    logs = [np.log(np.maximum(run, 1e-30)) for run in runs] if low >= 0 else []
    return MelStatistics(
        frames=frames,
        low=low,
        high=high,
        first_nonfinite=None,
        floor_share=at_floor / sample.size if at_floor >= _MIN_FLOOR_VALUES else 0.0,
        median=float(np.median(above)) if above.size else low,
        median_frame_delta=_median_frame_delta(runs, floor),
        median_log_frame_delta=_median_frame_delta(logs, -69.0) if logs else 0.0,
        temporal_std=float(sample.std(axis=1).mean()),
        band_mean_rms=float(np.sqrt((sample.mean(axis=1) ** 2).mean())),
    )


def _median_frame_delta(runs: list[DoubleArray], floor: float) -> float:
    deltas = []
    for run in runs:
        above = (run[:, 1:] > floor) & (run[:, :-1] > floor)
        deltas.append(np.abs(np.diff(run, axis=1))[above])
    joined = np.concatenate(deltas)
    return float(np.median(joined)) if joined.size else 0.0
