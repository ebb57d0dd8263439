"""The page of `hifigan resynth`: recordings and results, their mels, and the difference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.audio.pictures import difference_colors, level_colors
from hifigan_cli.audio.reading import Audio
from hifigan_cli.audio.recording import open_recording
from hifigan_cli.reports.media import difference_address, shown_mel
from hifigan_cli.reports.page import (
    ColorScale,
    Heading,
    Picture,
    ShownClip,
    Version,
    build_page,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hifigan_cli.reports.page import Row
    from hifigan_cli.synthesis.events import Synthesized
    from hifigan_cli.types import FloatArray

# Half a minute of a channel takes about a megabyte.
HEARD_S = 30.0
MOST_ROWS = 1000
_DB_PER_NEPER = 20 / math.log(10)
_LIMIT_DB = 20.0
_DEPTH_DB = 80.0  # differences deeper below the loudest do not count
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


def page_of_resynthesis(
    results: Sequence[Synthesized],
    facts: Sequence[tuple[str, str]],
    players: int,
    *,
    mono: bool = False,
) -> str:
    """Return the page of results, with at most `players` channels of them to hear and to see.

    Of each channel the first half minute. `facts` go on top; `mono`: inputs were mixed to mono.

    Raises:
        InputError: a file has disappeared, or is no audio any more.
    """
    clips: list[ShownClip] = []
    rows: list[Row] = []
    for result in results:
        if len(clips) < players:
            for clip, row in islice(_channels(result, mono=mono), players - len(clips)):
                clips.append(clip)
                rows.append(row)
        elif len(rows) < MOST_ROWS:
            rows.append((str(result.source), _values(result)))
    shown = f"{len(clips)} to hear, one per channel, of each at most the first {HEARD_S:g} s"
    if len(results) > MOST_ROWS:
        shown += f"; values of the first {MOST_ROWS:,} of {len(results):,} files"
    title = "Recordings and what resynth made of them"
    return build_page(title, clips, [*facts, ("shown", shown)], _HEADINGS, rows, _scales())


def _values(result: Synthesized) -> dict[str, float | None]:
    """Return the columns that are known without reading the files."""
    return {"length_s": result.length_s, "factor": result.real_time_factor}


def _channels(result: Synthesized, *, mono: bool) -> Iterator[tuple[ShownClip, Row]]:
    """Yield each channel of a recording with its result, and its row of the table."""
    sources, targets = _look_through(result.source, mono=mono), _look_through(result.target)
    for number, (before, after) in enumerate(zip(sources, targets, strict=False), 1):
        name = str(result.source)
        if len(sources) > 1:
            name += f", channel {number} of {len(sources)}"
        yield _clip(name, result, before, after)


@dataclass(frozen=True)
class _Channel:
    """One channel of a file: its beginning, and levels and length of all of it."""

    beginning: Audio
    peak_dbfs: float
    rms_dbfs: float
    length: int

    def __str__(self) -> str:
        sample_rate = self.beginning.sample_rate
        return (
            f"{self.length / sample_rate:.2f} s, {self.length:,} samples at {sample_rate:,} Hz, "
            f"peak {self.peak_dbfs:.1f}, level {self.rms_dbfs:.1f} dBFS"
        )


def _look_through(path: Path, *, mono: bool = False) -> list[_Channel]:
    """Read a file of any length, block by block; return its channels."""
    recording = open_recording(path, repair=True)
    sound = recording.mono() if mono else recording
    peaks, squares = np.zeros(sound.channels), np.zeros(sound.channels)
    left, pieces = round(HEARD_S * sound.sample_rate), []
    for block in sound.blocks():
        peaks = np.maximum(peaks, np.abs(block).max(axis=1))
        squares += np.square(block, dtype=np.float64).sum(axis=1)
        if left:
            pieces.append(block[:, :left].copy())
            left -= pieces[-1].shape[1]
    beginning = np.concatenate(pieces, axis=1)
    levels = zip(peaks, np.sqrt(squares / sound.length), strict=True)
    return [
        _Channel(Audio(samples[None], sound.sample_rate), _dbfs(peak), _dbfs(rms), sound.length)
        for samples, (peak, rms) in zip(beginning, levels, strict=True)
    ]


def _dbfs(size: float) -> float:
    """Return a size in dB of full scale, at least -100."""
    return 20 * math.log10(max(size, _NO_LEVEL))


def _clip(
    name: str, result: Synthesized, before: _Channel, after: _Channel
) -> tuple[ShownClip, Row]:
    difference = difference_db(shown_mel(before.beginning), shown_mel(after.beginning))
    size = float(np.abs(difference).mean())
    words = (
        f"output minus input: {difference.mean():+.1f} dB in the mean, {size:.1f} dB of either sign"
    )
    clip = ShownClip(
        name,
        [Version("input", before.beginning), Version("output", after.beginning)],
        [
            Picture(
                "difference of the mels",
                difference_address(difference, _LIMIT_DB),
                f"error map, {words}",
            )
        ],
        [
            ("input", str(before)),
            ("output", str(after)),
            ("computed in", f"{result.elapsed_s:.2f} s, {result.real_time_factor:.1f} x real time"),
            ("mel", words),
        ],
    )
    values = {
        **_values(result),
        "peak_in": before.peak_dbfs,
        "rms_in": before.rms_dbfs,
        "peak_out": after.peak_dbfs,
        "rms_out": after.rms_dbfs,
        "difference": size,
    }
    return clip, (name, values)


def difference_db(before: FloatArray, after: FloatArray) -> FloatArray:
    """Return by how many dB a log-mel `(n_mels, frames)` is louder than another, over both.

    Whatever lies 80 dB or more below the loudest counts as equally silent: nobody hears it.
    """
    frames = min(before.shape[1], after.shape[1])
    pair = np.stack([before[:, :frames], after[:, :frames]]) * _DB_PER_NEPER
    pair = np.maximum(pair, pair.max() - _DEPTH_DB)
    difference: FloatArray = pair[1] - pair[0]
    return difference


def _scales() -> list[ColorScale]:
    colors, low, high = level_colors()
    ends = [f"{level * _DB_PER_NEPER:.0f} dB" for level in (low, high)]
    quieter = f"output quieter by {_LIMIT_DB:g} dB"
    louder = f"output louder by {_LIMIT_DB:g} dB; white: the same"
    return [
        ColorScale("Spectrograms, mel magnitude up to 11 kHz", colors, *ends),
        ColorScale("Difference", difference_colors(), quieter, louder),
    ]
