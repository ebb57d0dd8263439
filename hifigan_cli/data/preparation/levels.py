"""What makes a recording unfit, and how a fit one becomes 16 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hifigan_cli.data.prepared import TRAINING_PEAK

if TYPE_CHECKING:
    from hifigan_cli.types import FloatArray

FULL_SCALE = 32_768
MAX_CLIPPED_SHARE = 0.01

TRIM_BLOCK_S = 0.01
TRIM_MARGIN_S = 0.05
TRIM_BELOW_DB = 45.0  # under the loudest block; breath and weak consonants lie above


def sounding(samples: FloatArray, rate_hz: int) -> slice:
    """Return the part of `(samples,)` between the first and the last sound, with a margin."""
    block = max(1, round(TRIM_BLOCK_S * rate_hz))
    blocks = -(-len(samples) // block)
    padded = np.pad(samples, (0, blocks * block - len(samples)))
    energy = np.square(padded, dtype=np.float64).reshape(blocks, block).mean(axis=1)
    loud = np.flatnonzero(energy >= energy.max() * 10 ** (-TRIM_BELOW_DB / 10))
    margin = round(TRIM_MARGIN_S * rate_hz)
    return slice(
        max(0, int(loud[0]) * block - margin),
        min(len(samples), (int(loud[-1]) + 1) * block + margin),
    )


def to_stored(samples: FloatArray, keep_level: bool) -> tuple[npt.NDArray[np.int16], float]:
    """Round `(samples,)`, full scale 1, to 16 bits; return them and the gain they were given.

    Samples that are 16-bit numbers already stay what they are. Others are first brought to the peak
    that training wants anyway, so that a quiet recording of 24 bits loses nothing; `keep_level`
    forbids it.
    """
    scaled = samples.astype(np.float64) * FULL_SCALE
    gain = 1.0
    if not keep_level and not _are_int16(scaled):
        gain = TRAINING_PEAK * FULL_SCALE / float(np.abs(scaled).max())
        scaled *= gain
    stored = np.clip(np.rint(scaled), -FULL_SCALE, FULL_SCALE - 1)
    return stored.astype(np.int16), gain


def _are_int16(scaled: npt.NDArray[np.float64]) -> bool:
    return bool(np.array_equal(scaled, np.rint(scaled)) and scaled.max() < FULL_SCALE)
