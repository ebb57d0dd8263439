"""Read two files as aligned channels at one sample rate.

Clips are compared at 22 050 Hz, the rate at which the thresholds were measured. If a file has a
lower rate, both are limited to its band first, so that frequencies that it cannot contain are not
counted as an error.

A vocoder does not preserve the phase, so the lag is found by correlating energy envelopes instead
of waveforms. A delay belongs to a system, not to a clip, so all results are shifted by the median
lag of the clips.
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

COMPARISON_RATE = 22_050
# Shorter clips than half a mel frame cannot be reflected at their ends.
MIN_LENGTH_S = 0.05
# Vocoders drop an incomplete last frame, so only larger differences are noted.
_LENGTH_TOLERANCE_S = 0.05
# About one pitch period: in a shorter window, pitch pulses would determine the lag.
_SMOOTHING_S = 0.012
_MAX_LAG_S = 0.2
_TINY = 1e-30  # avoids division by zero in silence


@dataclass(frozen=True)
class ChannelPair:
    """One channel of a recording and of its result: aligned, `(samples,)` each.

    Attributes:
        reference: the recording.
        generated: the generated samples, of the same length.
        sample_rate: samples per second of both.
        bandwidth_hz: the highest frequency that both files can contain.
    """

    reference: FloatArray
    generated: FloatArray
    sample_rate: int = COMPARISON_RATE
    bandwidth_hz: float = COMPARISON_RATE / 2

    def resampled(self, sample_rate: int) -> list[FloatArray]:
        """Return both clips at another sample rate."""
        clips = (self.reference, self.generated)
        return [resample(clip[None], self.sample_rate, sample_rate)[0] for clip in clips]


@dataclass(frozen=True)
class ClipPair:
    """A recording and its result at `COMPARISON_RATE`, not aligned yet, `(channels, samples)` each.

    Attributes:
        reference: the recording.
        generated: the generated samples, with the same number of channels.
        bandwidth_hz: the highest frequency that both files can contain.
        notes: messages for the user about how the files differ.
    """

    reference: FloatArray
    generated: FloatArray
    bandwidth_hz: float
    notes: tuple[str, ...] = ()

    @property
    def lag(self) -> int | None:
        """The delay of the result in samples; None if one of the clips is silent."""
        return find_lag(self.reference.mean(axis=0), self.generated.mean(axis=0))

    def aligned(self, lag: int) -> list[ChannelPair]:
        """Return the channels, shifted by `lag` samples and trimmed to one length.

        Raises:
            InputError: the overlap is shorter than `MIN_LENGTH_S`.
        """
        pairs = []
        for channels in zip(self.reference, self.generated, strict=True):
            reference, generated = shift(*channels, lag)
            if len(reference) < MIN_LENGTH_S * COMPARISON_RATE:
                raise InputError(
                    f"the clips overlap by only {len(reference) / COMPARISON_RATE:.3f} s",
                    f"compare clips of at least {MIN_LENGTH_S} s",
                )
            pairs.append(ChannelPair(reference, generated, bandwidth_hz=self.bandwidth_hz))
        return pairs


def read_clips(reference: Path, generated: Path, *, repair: bool = False) -> ClipPair:
    """Read two files to compare; mix both down to mono if their channel counts differ.

    Raises:
        InputError: a file is not audio, or is damaged.
    """
    files = [read_audio(path, repair=repair) for path in (reference, generated)]
    notes = [note for audio in files for note in audio.notes]
    if files[0].channels != files[1].channels:
        notes.append(f"{files[0].channels} and {files[1].channels} channels, each mixed to mono")
        files = [audio.mono() for audio in files]
    difference_s = files[1].length_s - files[0].length_s
    if abs(difference_s) > _LENGTH_TOLERANCE_S:
        longer = "longer" if difference_s > 0 else "shorter"
        notes.append(f"the result is {abs(difference_s):.2f} s {longer} than its reference")
    band_rate = min(COMPARISON_RATE, *(audio.sample_rate for audio in files))
    if band_rate < COMPARISON_RATE:
        notes.append(f"compared up to {band_rate / 2:.0f} Hz, the limit of one of the files")
    compared = [
        resample(resample(audio.samples, audio.sample_rate, band_rate), band_rate, COMPARISON_RATE)
        for audio in files
    ]
    return ClipPair(compared[0], compared[1], band_rate / 2, tuple(notes))


def find_lag(reference: FloatArray, generated: FloatArray) -> int | None:
    """Return the delay of a result `(samples,)` in samples; negative if it is early.

    The delay is at most 0.2 s. Return None if one of the clips is silent.
    """
    envelopes = [_envelope(clip) for clip in (reference, generated)]
    if not all(envelope.any() for envelope in envelopes):
        return None
    size = 1 << (len(reference) + len(generated)).bit_length()
    first, second = (np.fft.rfft(envelope, size) for envelope in envelopes)
    correlation = np.fft.irfft(second * first.conj(), size)
    max_lag = min(round(_MAX_LAG_S * COMPARISON_RATE), size // 2 - 1)
    lags = np.arange(-max_lag, max_lag + 1)
    # The energy of the overlap depends on the lag and would move the peak, so normalize by it.
    starts = np.maximum(-lags, 0), np.maximum(lags, 0)
    lengths = [len(envelope) - start for envelope, start in zip(envelopes, starts, strict=True)]
    overlap = np.minimum(*lengths)
    energies = [_energy(envelopes[i], starts[i], overlap) for i in (0, 1)]
    normalized = correlation[lags] / np.sqrt(np.maximum(energies[0] * energies[1], _TINY))
    # Ignore lags at which less than half of the shorter clip overlaps.
    normalized[2 * overlap < min(map(len, envelopes))] = -np.inf
    return int(lags[np.argmax(normalized)])


def _energy(
    envelope: DoubleArray, start: npt.NDArray[np.int_], count: npt.NDArray[np.int_]
) -> DoubleArray:
    """Return the energy of each segment of an envelope, which is zero outside its ends."""
    sums = np.concatenate([[0.0], np.cumsum(envelope**2)])
    first, last = (np.clip(index, 0, len(envelope)) for index in (start, start + count))
    energy: DoubleArray = sums[last] - sums[first]
    return energy


def _envelope(clip: FloatArray) -> DoubleArray:
    """Return the smoothed magnitude `(samples,)` without its mean."""
    width = round(_SMOOTHING_S * COMPARISON_RATE)
    window = np.hanning(width + 2)[1:-1]
    smooth = np.convolve(np.abs(clip.astype(np.float64)), window / window.sum())
    envelope: DoubleArray = smooth[width // 2 : width // 2 + len(clip)]
    envelope -= envelope.mean()
    return envelope


def median_lag(lags: Sequence[int | None]) -> int:
    """Return the median of the known lags in samples; 0 if none is known.

    >>> median_lag([3, None, 5, 400])
    5
    >>> median_lag([None])
    0
    """
    known = sorted(lag for lag in lags if lag is not None)
    return known[len(known) // 2] if known else 0


def shift(reference: FloatArray, generated: FloatArray, lag: int) -> tuple[FloatArray, FloatArray]:
    """Trim two clips to their overlap; the second one is `lag` samples late.

    >>> [clip.tolist() for clip in shift(np.arange(4.0), np.arange(6.0), 1)]
    [[0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0]]
    """
    reference, generated = reference[max(-lag, 0) :], generated[max(lag, 0) :]
    samples = min(len(reference), len(generated))
    return reference[:samples], generated[:samples]
