"""Two files -> aligned channels at one sample rate.

Clips are compared at 22 050 Hz, the rate at which the thresholds were measured. If a file has a
lower rate, both are limited to its band first, so that neither is blamed for what the other cannot
hold.

A vocoder does not keep the phase, so waveforms cannot be correlated; their energy envelopes can. A
delay belongs to a system, not to a clip: all results are shifted by the median of the clips' lags.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hifigan_cli.audio.reading import read_audio
from hifigan_cli.audio.resampling import resample
from hifigan_cli.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hifigan_cli.types import DoubleArray, FloatArray

COMPARED_RATE = 22_050
# Half a frame of the mel: the ends of anything shorter cannot be reflected.
SHORTEST_S = 0.05
# Vocoders drop the rest of the last frame; only larger differences are noted.
_LENGTH_TOLERANCE_S = 0.05
# About one pitch period: with a shorter window, the pitch pulses decide the lag.
_SMOOTHING_S = 0.012
_LONGEST_LAG_S = 0.2
_TINY = 1e-30  # avoids division by zero in silence


@dataclass(frozen=True)
class ChannelPair:
    """One channel of a recording and of its result: aligned, `(samples,)` each.

    Attributes:
        reference: the recording.
        hypothesis: the result, of the same length.
        sample_rate: samples per second of both.
        top_hz: the highest frequency that both files can hold.
    """

    reference: FloatArray
    hypothesis: FloatArray
    sample_rate: int = COMPARED_RATE
    top_hz: float = COMPARED_RATE / 2

    def resampled(self, sample_rate: int) -> list[FloatArray]:
        """Return both at another rate."""
        clips = (self.reference, self.hypothesis)
        return [resample(clip[None], self.sample_rate, sample_rate)[0] for clip in clips]


@dataclass(frozen=True)
class ClipPair:
    """A recording and its result at `COMPARED_RATE`, not aligned yet, `(channels, samples)` each.

    Attributes:
        reference: the recording.
        hypothesis: the result, with as many channels.
        top_hz: the highest frequency that both files can hold.
        notes: what was done to make them comparable, as sentences for the user.
    """

    reference: FloatArray
    hypothesis: FloatArray
    top_hz: float
    notes: tuple[str, ...] = ()

    @property
    def lag(self) -> int | None:
        """By how many samples the result is late; None if one of them is silent."""
        return find_lag(self.reference.mean(axis=0), self.hypothesis.mean(axis=0))

    def aligned(self, lag: int) -> list[ChannelPair]:
        """Return the channels, shifted by a lag in samples and cut to one length.

        Raises:
            InputError: less than `SHORTEST_S` is left to compare.
        """
        pairs = []
        for channels in zip(self.reference, self.hypothesis, strict=True):
            reference, hypothesis = shift(*channels, lag)
            if len(reference) < SHORTEST_S * COMPARED_RATE:
                raise InputError(
                    f"only {len(reference) / COMPARED_RATE:.3f} s to compare",
                    f"clips of at least {SHORTEST_S} s can be compared",
                )
            pairs.append(ChannelPair(reference, hypothesis, top_hz=self.top_hz))
        return pairs


def read_clips(reference: Path, hypothesis: Path, *, repair: bool = False) -> ClipPair:
    """Read two files for comparison; mix both to mono if their numbers of channels differ.

    Raises:
        InputError: one of them is not audio, or damaged.
    """
    files = [read_audio(path, repair=repair) for path in (reference, hypothesis)]
    notes = [note for audio in files for note in audio.notes]
    if files[0].channels != files[1].channels:
        notes.append(f"{files[0].channels} and {files[1].channels} channels, each mixed into one")
        files = [audio.mono() for audio in files]
    difference_s = files[1].length_s - files[0].length_s
    if abs(difference_s) > _LENGTH_TOLERANCE_S:
        longer = "longer" if difference_s > 0 else "shorter"
        notes.append(f"the result is {abs(difference_s):.2f} s {longer} than its reference")
    band_rate = min(COMPARED_RATE, *(audio.sample_rate for audio in files))
    if band_rate < COMPARED_RATE:
        notes.append(f"compared up to {band_rate / 2:.0f} Hz, which is all that one file holds")
    compared = [
        resample(resample(audio.samples, audio.sample_rate, band_rate), band_rate, COMPARED_RATE)
        for audio in files
    ]
    return ClipPair(compared[0], compared[1], band_rate / 2, tuple(notes))


def find_lag(reference: FloatArray, hypothesis: FloatArray) -> int | None:
    """Return by how many samples a result `(samples,)` is late; negative if it is early.

    None if one of them is silent. At most 0.2 s.
    """
    envelopes = [_envelope(clip) for clip in (reference, hypothesis)]
    if not all(envelope.any() for envelope in envelopes):
        return None
    size = 1 << (len(reference) + len(hypothesis)).bit_length()
    first, second = (np.fft.rfft(envelope, size) for envelope in envelopes)
    correlation = np.fft.irfft(second * first.conj(), size)
    reach = min(round(_LONGEST_LAG_S * COMPARED_RATE), size // 2 - 1)
    lags = np.arange(-reach, reach + 1)
    # Each lag leaves another overlap, with another energy: normalize, or energy moves the peak.
    starts = np.maximum(-lags, 0), np.maximum(lags, 0)
    lengths = [len(envelope) - start for envelope, start in zip(envelopes, starts, strict=True)]
    shared = np.minimum(*lengths)
    energies = [_energy(envelopes[i], starts[i], shared) for i in (0, 1)]
    correlated = correlation[lags] / np.sqrt(np.maximum(energies[0] * energies[1], _TINY))
    # An overlap of less than half of the shorter clip is no evidence.
    correlated[2 * shared < min(map(len, envelopes))] = -np.inf
    return int(lags[np.argmax(correlated)])


def _energy(
    envelope: DoubleArray, start: npt.NDArray[np.int_], count: npt.NDArray[np.int_]
) -> DoubleArray:
    """Return the energy of each stretch of an envelope; outside of it there is none."""
    sums = np.concatenate([[0.0], np.cumsum(envelope**2)])
    first, last = (np.clip(place, 0, len(envelope)) for place in (start, start + count))
    energy: DoubleArray = sums[last] - sums[first]
    return energy


def _envelope(clip: FloatArray) -> DoubleArray:
    """Return the smoothed magnitude `(samples,)` without its mean."""
    width = round(_SMOOTHING_S * COMPARED_RATE)
    window = np.hanning(width + 2)[1:-1]
    smooth = np.convolve(np.abs(clip.astype(np.float64)), window / window.sum())
    envelope: DoubleArray = smooth[width // 2 : width // 2 + len(clip)]
    envelope -= envelope.mean()
    return envelope


def median_lag(lags: Sequence[int | None]) -> int:
    """Return the median of the known lags of clips, in samples; 0 if none is known.

    >>> median_lag([3, None, 5, 400])
    5
    >>> median_lag([None])
    0
    """
    known = sorted(lag for lag in lags if lag is not None)
    return known[len(known) // 2] if known else 0


def shift(reference: FloatArray, hypothesis: FloatArray, lag: int) -> tuple[FloatArray, FloatArray]:
    """Cut two clips to their overlap, given that the second is `lag` samples late.

    >>> [clip.tolist() for clip in shift(np.arange(4.0), np.arange(6.0), 1)]
    [[0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0]]
    """
    reference, hypothesis = reference[max(-lag, 0) :], hypothesis[max(lag, 0) :]
    shared = min(len(reference), len(hypothesis))
    return reference[:shared], hypothesis[:shared]
