"""What the range of a mel's values says of its convention.

Mels are handed about as the natural log, log10, decibels, or scaled to 0..1, and no file says
which. The lowest and the highest value give most of them away.
"""

from __future__ import annotations

from hifigan_cli.audio.mel import LOG_FLOOR

# A predicted mel may pass the floor a little; nothing that speech gives comes near these.
LOWEST, HIGHEST = LOG_FLOOR - 3.0, 5.0
# log10 of the usual floors is -5 or -10; the natural log of speech goes below -6.
_LOG10_LOWEST, _LOG10_OTHER_FLOOR = -5.01, -10.0
_LEAST_SPREAD = 0.5  # values that hardly differ, such as those of silence, tell nothing
_LOG10_HIGHEST = 1.5


def looks_like(low: float, high: float) -> str | None:
    """Name the convention that a mel's range gives away, or None if it may be natural log.

    >>> looks_like(-11.5, 1.2) is None
    True
    >>> looks_like(-5.0, 0.6)
    'log10'
    """
    varied = high - low >= _LEAST_SPREAD
    if low >= 0 and varied:
        return "magnitudes without a logarithm, or a mel normalised to 0..1"
    if low < LOWEST or high > HIGHEST:
        return "decibels, or a mel of another scale"
    at_other_floor = abs(low - _LOG10_OTHER_FLOOR) < 1e-3
    if varied and high < _LOG10_HIGHEST and (low >= _LOG10_LOWEST or at_other_floor):
        return "log10"
    return None
