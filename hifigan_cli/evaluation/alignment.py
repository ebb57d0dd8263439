"""The delay of a result against its recording, from their energy envelopes.

A vocoder does not keep the phase, so that waveforms cannot be correlated; the envelope it keeps. A
delay belongs to a system, not to a clip: the median over clips is what all of them are shifted by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hifigan_cli.types import FloatArray

# About the length of a pitch period: shorter, and the pitch pulses of a clip decide its lag.
_SMOOTHED_S = 0.012
_LONGEST_LAG_S = 0.2
_TINY = 1e-30  # keeps silence from dividing by nothing


def lag_samples(reference: FloatArray, hypothesis: FloatArray, rate_hz: int) -> int | None:
    """Return by how many samples `(samples,)` comes after its reference; negative where before.

    None where one of them is silent. At most 0.2 s.
    """
    envelopes = [_envelope(clip, rate_hz) for clip in (reference, hypothesis)]
    if not all(envelope.any() for envelope in envelopes):
        return None
    size = 1 << (len(reference) + len(hypothesis)).bit_length()
    first, second = (np.fft.rfft(envelope, size) for envelope in envelopes)
    correlation = np.fft.irfft(second * first.conj(), size)
    reach = min(round(_LONGEST_LAG_S * rate_hz), size // 2 - 1)
    lags = np.arange(-reach, reach + 1)
    # What the clips share at each lag has another energy, which alone would draw the peak aside.
    starts = np.maximum(-lags, 0), np.maximum(lags, 0)
    lengths = [len(envelope) - start for envelope, start in zip(envelopes, starts, strict=True)]
    shared = np.minimum(*lengths)
    energies = [_energy(envelopes[i], starts[i], shared) for i in (0, 1)]
    correlated = correlation[lags] / np.sqrt(np.maximum(energies[0] * energies[1], _TINY))
    # A lag that leaves less than half of the shorter clip says nothing.
    correlated[2 * shared < min(map(len, envelopes))] = -np.inf
    return int(lags[np.argmax(correlated)])


def _energy(
    envelope: npt.NDArray[np.float64], start: npt.NDArray[np.int_], count: npt.NDArray[np.int_]
) -> npt.NDArray[np.float64]:
    """Return the energy of each stretch of an envelope; of what lies outside, none."""
    sums = np.concatenate([[0.0], np.cumsum(envelope**2)])
    first, last = (np.clip(place, 0, len(envelope)) for place in (start, start + count))
    energy: npt.NDArray[np.float64] = sums[last] - sums[first]
    return energy


def _envelope(clip: FloatArray, rate_hz: int) -> npt.NDArray[np.float64]:
    """Return the smoothed magnitude `(samples,)`, its mean taken off."""
    width = max(round(_SMOOTHED_S * rate_hz), 1)
    window = np.hanning(width + 2)[1:-1]
    smooth = np.convolve(np.abs(clip.astype(np.float64)), window / window.sum())
    offset = width // 2
    centred: npt.NDArray[np.float64] = smooth[offset : offset + len(clip)]
    centred -= centred.mean()
    return centred


def common_lag(lags: Sequence[int | None]) -> int:
    """Return the median of clips' lags, in samples; 0 where none is known.

    >>> common_lag([3, None, 5, 400])
    5
    >>> common_lag([None])
    0
    """
    known = sorted(lag for lag in lags if lag is not None)
    return known[len(known) // 2] if known else 0


def shifted(
    reference: FloatArray, hypothesis: FloatArray, lag: int
) -> tuple[FloatArray, FloatArray]:
    """Cut two clips to what they share when the second comes `lag` samples late.

    >>> [clip.tolist() for clip in shifted(np.arange(4.0), np.arange(6.0), 1)]
    [[0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0]]
    """
    reference, hypothesis = reference[max(-lag, 0) :], hypothesis[max(lag, 0) :]
    shared = min(len(reference), len(hypothesis))
    return reference[:shared], hypothesis[:shared]
