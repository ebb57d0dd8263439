"""What `hifigan resynth` read and wrote, side by side: sound, mels, and where they differ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.audio.pictures import difference_colors, level_colors
from hifigan_cli.audio.reading import Audio
from hifigan_cli.audio.recording import open_recording
from hifigan_cli.reports.build import build_page
from hifigan_cli.reports.content import Heading, PageContent, Picture, Scale, ShownClip, Version
from hifigan_cli.reports.media import difference_address, shown_mel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hifigan_cli.types import FloatArray

# Half a minute of a channel takes about a megabyte.
HEARD_S = 30.0
MOST_ROWS = 1000
_DB_PER_NEPER = 20 / math.log(10)
_LIMIT_DB = 20.0
_DEPTH_DB = 80.0  # what lies deeper under the loudest is not compared
_NO_LEVEL = 1e-5  # -100 dB, of digital silence

_HEADINGS = (
    Heading("length_s", "length", "s", 2),
    Heading("factor", "speed", "x real time", 1),
    Heading("peak_in", "peak in", "dBFS", 1),
    Heading("peak_out", "peak out", "dBFS", 1),
    Heading("rms_in", "level in", "dBFS", 1),
    Heading("rms_out", "level out", "dBFS", 1),
    Heading("difference", "mel difference", "dB, mean size", 1),
)


Figures = dict[str, float | None]


@dataclass(frozen=True)
class Made:
    """A recording and what was made of it: names of the files, seconds of speech and of work."""

    source: Path
    target: Path
    length_s: float
    elapsed_s: float

    def figures(self) -> Figures:
        """Return what is known of it without looking."""
        return {"length_s": self.length_s, "factor": self.length_s / self.elapsed_s}


def page_of_resynthesis(
    made: Sequence[Made], facts: Sequence[tuple[str, str]], players: int, *, mono: bool = False
) -> str:
    """Return the page of what was made, at most `players` channels of it to hear and to see.

    Of each the first half minute. `facts` go on top; `mono` says that the channels were mixed.

    Raises:
        InputError: a file has gone, or changed into none of sound, since it was made.
    """
    clips: list[ShownClip] = []
    rows: list[tuple[str, Figures]] = []
    for each in made:
        if len(clips) < players:
            for clip, figures in islice(_channels(each, mono=mono), players - len(clips)):
                clips.append(clip)
                rows.append((clip.name, figures))
        elif len(rows) < MOST_ROWS:
            rows.append((str(each.source), each.figures()))
    return build_page(
        PageContent(
            "Recordings and what resynth made of them",
            clips,
            [*facts, ("shown", _told(len(made), len(clips)))],
            _HEADINGS,
            rows,
            _scales(),
        )
    )


def _told(made: int, clips: int) -> str:
    """Say what the page leaves out."""
    rows = "" if made <= MOST_ROWS else f"; figures of the first {MOST_ROWS:,} of {made:,} files"
    return f"{clips} to hear, one a channel, of each at most the first {HEARD_S:g} s{rows}"


def _channels(made: Made, *, mono: bool) -> Iterator[tuple[ShownClip, Figures]]:
    """Yield each channel of a recording, beside what was made of it, and its figures."""
    sources, targets = _heard(made.source, mono=mono), _heard(made.target)
    for number, (before, after) in enumerate(zip(sources, targets, strict=False), 1):
        name = str(made.source)
        if len(sources) > 1:
            name += f", channel {number} of {len(sources)}"
        yield _clip(name, made, before, after)


@dataclass(frozen=True)
class _Heard:
    """One channel of a file: its beginning, and levels and length of all of it."""

    beginning: Audio
    peak_dbfs: float
    rms_dbfs: float
    length: int

    def __str__(self) -> str:
        rate_hz = self.beginning.rate_hz
        return (
            f"{self.length / rate_hz:.2f} s, {self.length:,} samples at {rate_hz:,} Hz, "
            f"peak {self.peak_dbfs:.1f}, level {self.rms_dbfs:.1f} dBFS"
        )


def _heard(path: Path, *, mono: bool = False) -> list[_Heard]:
    """Look through a file of any length, block by block; return its channels."""
    recording = open_recording(path, repair=True)
    sound = recording.mono() if mono else recording
    peaks, squares = np.zeros(sound.channels), np.zeros(sound.channels)
    left, pieces = round(HEARD_S * sound.rate_hz), []
    for block in sound.blocks():
        peaks = np.maximum(peaks, np.abs(block).max(axis=1))
        squares += np.square(block, dtype=np.float64).sum(axis=1)
        if left:
            pieces.append(block[:, :left].copy())
            left -= pieces[-1].shape[1]
    beginning = np.concatenate(pieces, axis=1)
    levels = zip(peaks, np.sqrt(squares / sound.length), strict=True)
    return [
        _Heard(Audio(samples[None], sound.rate_hz), _dbfs(peak), _dbfs(rms), sound.length)
        for samples, (peak, rms) in zip(beginning, levels, strict=True)
    ]


def _dbfs(size: float) -> float:
    """Return a size in dB of full scale, at least -100."""
    return 20 * math.log10(max(size, _NO_LEVEL))


def _clip(name: str, made: Made, before: _Heard, after: _Heard) -> tuple[ShownClip, Figures]:
    difference = difference_db(shown_mel(before.beginning), shown_mel(after.beginning))
    size = float(np.abs(difference).mean())
    levels = {
        "peak_in": before.peak_dbfs,
        "rms_in": before.rms_dbfs,
        "peak_out": after.peak_dbfs,
        "rms_out": after.rms_dbfs,
    }
    words = (
        f"output minus input: {difference.mean():+.1f} dB in the mean, {size:.1f} dB of either sign"
    )
    facts = [
        ("input", str(before)),
        ("output", str(after)),
        ("made in", f"{made.elapsed_s:.2f} s, {made.length_s / made.elapsed_s:.1f} x real time"),
        ("mel", words),
    ]
    address = difference_address(difference, _LIMIT_DB)
    clip = ShownClip(
        name,
        [Version("input", before.beginning), Version("output", after.beginning)],
        [Picture("difference of the mels", address, f"error map, {words}")],
        facts,
    )
    return clip, {**made.figures(), **levels, "difference": size}


def difference_db(before: FloatArray, after: FloatArray) -> FloatArray:
    """Return by how many dB one log-mel `(mels, frames)` is louder than another, as far as both go.

    What lies 80 dB and more under the loudest counts as equally silent: nobody hears it.
    """
    frames = min(before.shape[1], after.shape[1])
    pair = np.stack([before[:, :frames], after[:, :frames]]) * _DB_PER_NEPER
    pair = np.maximum(pair, pair.max() - _DEPTH_DB)
    difference: FloatArray = pair[1] - pair[0]
    return difference


def _scales() -> tuple[Scale, Scale]:
    colours, low, high = level_colors()
    below, above = f"{low * _DB_PER_NEPER:.0f} dB", f"{high * _DB_PER_NEPER:.0f} dB"
    sign = f"{_LIMIT_DB:g} dB"
    return (
        Scale("Spectrograms, mel magnitude up to 11 kHz", colours, below, above),
        Scale(
            "Difference",
            difference_colors(),
            f"output quieter by {sign}",
            f"output louder by {sign}; white: the same",
        ),
    )
