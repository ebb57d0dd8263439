"""Rooms: speech through a measured response, aligned on the direct path.

The target stays dry and must stay in step with the noisy side, so the response begins just before
its strongest tap, and what lies before is dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import soxr

from hifigan_cli.enhancement.augmentation.filters import convolved

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Wave = npt.NDArray[np.float64]

_BEFORE = 20  # samples kept before the direct path
_LONGEST_S = 1.3
_EARLY_S = 0.02  # whose energy the level is set by: what the ear takes for the voice itself


def draw_room(
    draw: np.random.Generator,
    responses: Sequence[npt.NDArray[np.float32]],
    rate_hz: int,
    *,
    varied: bool,
) -> tuple[Wave, int]:
    """Return a response and the place of its direct path; `varied` changes size and decay."""
    response: Wave = responses[int(draw.integers(len(responses)))].astype(np.float64)
    if varied and draw.random() < 0.6:
        response = soxr.resample(response, rate_hz, rate_hz * draw.uniform(0.8, 1.3), quality="LQ")
    direct = int(np.argmax(np.abs(response)))
    response = response[max(0, direct - _BEFORE) :][: int(_LONGEST_S * rate_hz)].copy()
    direct = min(direct, _BEFORE)
    if varied:
        time_s = np.arange(len(response)) / rate_hz
        response *= 10 ** (-draw.uniform(-4, 12) * np.maximum(time_s - 0.03, 0))  # decay
        response[direct + int(0.004 * rate_hz) :] *= 10 ** (draw.uniform(-6, 6) / 20)  # distance
    early = response[: direct + int(_EARLY_S * rate_hz)]
    return response / (np.sqrt(np.sum(early**2)) + 1e-9), direct


def reverberated(wave: Wave, response: Wave, direct: int) -> Wave:
    """Put `(samples,)` into a room; the direct path stays where it was."""
    return convolved(wave, response)[direct : direct + len(wave)]
