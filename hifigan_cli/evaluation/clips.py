"""Two files -> the channels that are compared, at one rate and length.

Everything is compared at 22 050 Hz, where the bars were measured. Where a file has a lower rate,
both are cut to its band first: what one of them cannot hold is no fault of the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hifigan_cli.audio.reading import read_audio
from hifigan_cli.audio.resampling import resample
from hifigan_cli.errors import InputError
from hifigan_cli.evaluation.alignment import lag_samples, shifted
from hifigan_cli.evaluation.metrics.pair import COMPARED_RATE_HZ, Pair

if TYPE_CHECKING:
    from pathlib import Path

    from hifigan_cli.audio.reading import Audio
    from hifigan_cli.types import FloatArray

# A frame of the mel is half of it: less cannot be reflected at the ends.
SHORTEST_S = 0.05
# Vocoders drop what is left of the last frame; a larger difference is worth a word.
_LENGTH_TOLERANCE_S = 0.05


@dataclass(frozen=True)
class Clips:
    """Two recordings at `COMPARED_RATE_HZ`, not aligned yet, `(channels, samples)` each.

    Attributes:
        reference: the recording.
        hypothesis: what is judged, with as many channels.
        top_hz: the highest frequency that both files can hold.
        notes: what was done that the user should know, as sentences.
    """

    reference: FloatArray
    hypothesis: FloatArray
    top_hz: float
    notes: tuple[str, ...] = ()

    @property
    def lag(self) -> int | None:
        """By how many samples the hypothesis is late; None where one is silent."""
        one = [clip.mean(axis=0) for clip in (self.reference, self.hypothesis)]
        return lag_samples(one[0], one[1], COMPARED_RATE_HZ)

    def pairs(self, lag: int) -> list[Pair]:
        """Return the channels to compare, shifted by a lag in samples and cut to one length.

        Raises:
            InputError: nothing, or hardly anything, is left to compare.
        """
        pairs = []
        for reference, hypothesis in zip(self.reference, self.hypothesis, strict=True):
            cut = shifted(reference, hypothesis, lag)
            if len(cut[0]) < SHORTEST_S * COMPARED_RATE_HZ:
                raise InputError(
                    f"only {len(cut[0]) / COMPARED_RATE_HZ:.3f} s to compare",
                    f"clips of at least {SHORTEST_S} s can be compared",
                )
            pairs.append(Pair(*cut, top_hz=self.top_hz))
        return pairs


def read_clips(reference: Path, hypothesis: Path, *, repair: bool = False) -> Clips:
    """Read two files for comparison.

    Where they differ in their number of channels, both are mixed into one.

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
    rate_hz = min(COMPARED_RATE_HZ, *(audio.rate_hz for audio in files))
    if rate_hz < COMPARED_RATE_HZ:
        notes.append(f"compared up to {rate_hz / 2:.0f} Hz, which is all that one file holds")
    compared = [_at_compared_rate(audio, rate_hz) for audio in files]
    return Clips(compared[0], compared[1], rate_hz / 2, tuple(notes))


def _at_compared_rate(audio: Audio, band_rate_hz: int) -> FloatArray:
    banded = resample(audio.samples, audio.rate_hz, band_rate_hz)
    return resample(banded, band_rate_hz, COMPARED_RATE_HZ)
