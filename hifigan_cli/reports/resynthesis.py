"""The page of `hifigan resynth`: recordings and results, their mels, and the differences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.audio.pictures import difference_colors, level_colors
from hifigan_cli.audio.reading import Audio
from hifigan_cli.audio.recording import open_recording
from hifigan_cli.reports.media import difference_data_url, display_mel
from hifigan_cli.reports.page import (
    ColorScale,
    PageClip,
    Picture,
    TableColumn,
    Version,
    build_page,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hifigan_cli.reports.page import Row
    from hifigan_cli.synthesis.events import AudioWritten
    from hifigan_cli.types import FloatArray

# Half a minute of one channel takes about a megabyte.
MAX_PLAYER_S = 30.0
MAX_ROWS = 1000
_DB_PER_NEPER = 20 / math.log(10)
_COLOR_LIMIT_DB = 20.0
_DEPTH_DB = 80.0  # levels further below the loudest count as equal
_MIN_LEVEL = 1e-5  # -100 dB, for digital silence
_COLUMNS = (
    TableColumn("length_s", "length", "s", 2),
    TableColumn("factor", "speed", "x real time", 1),
    TableColumn("peak_in", "peak in", "dBFS", 1),
    TableColumn("peak_out", "peak out", "dBFS", 1),
    TableColumn("rms_in", "level in", "dBFS", 1),
    TableColumn("rms_out", "level out", "dBFS", 1),
    TableColumn("difference", "mel difference", "dB, mean of |difference|", 1),
)


def resynthesis_page(
    results: Sequence[AudioWritten],
    facts: Sequence[tuple[str, str]],
    max_players: int,
    *,
    mono: bool = False,
) -> str:
    """Return the page of results, with players and pictures for at most `max_players` channels.

    It includes the first half minute of each channel. `facts` are shown at the top. `mono` states
    that the inputs were mixed to mono.

    Raises:
        InputError: a file was removed, or is not audio any more.
    """
    clips: list[PageClip] = []
    rows: list[Row] = []
    for result in results:
        if len(clips) < max_players:
            for clip, row in islice(_channels(result, mono=mono), max_players - len(clips)):
                clips.append(clip)
                rows.append(row)
        elif len(rows) < MAX_ROWS:
            rows.append((str(result.source), _values(result)))
    shown = f"{len(clips)} channels, at most the first {MAX_PLAYER_S:g} s of each"
    if len(results) > MAX_ROWS:
        shown += f"; values of the first {MAX_ROWS:,} of {len(results):,} files"
    title = "Recordings and their resynthesis"
    return build_page(title, clips, [*facts, ("shown", shown)], _COLUMNS, rows, _scales())


def _values(result: AudioWritten) -> dict[str, float | None]:
    """Return the values that do not require reading the files."""
    return {"length_s": result.length_s, "factor": result.times_real_time}


def _channels(result: AudioWritten, *, mono: bool) -> Iterator[tuple[PageClip, Row]]:
    """Yield the page clip and the table row of each channel."""
    sources, targets = _scan(result.source, mono=mono), _scan(result.target)
    for number, (before, after) in enumerate(zip(sources, targets, strict=False), 1):
        name = str(result.source)
        if len(sources) > 1:
            name += f", channel {number} of {len(sources)}"
        yield _clip(name, result, before, after)


@dataclass(frozen=True)
class _Channel:
    """One channel of a file: the audio of its beginning, the levels and length of all of it."""

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


def _scan(path: Path, *, mono: bool = False) -> list[_Channel]:
    """Read a file of any length block by block, and return its channels."""
    recording = open_recording(path, repair=True)
    source = recording.mono() if mono else recording
    peaks, squares = np.zeros(source.channels), np.zeros(source.channels)
    left, pieces = round(MAX_PLAYER_S * source.sample_rate), []
    for block in source.blocks():
        peaks = np.maximum(peaks, np.abs(block).max(axis=1))
        squares += np.square(block, dtype=np.float64).sum(axis=1)
        if left:
            pieces.append(block[:, :left].copy())
            left -= pieces[-1].shape[1]
    beginning = np.concatenate(pieces, axis=1)
    levels = zip(peaks, np.sqrt(squares / source.length), strict=True)
    return [
        _Channel(Audio(samples[None], source.sample_rate), _dbfs(peak), _dbfs(rms), source.length)
        for samples, (peak, rms) in zip(beginning, levels, strict=True)
    ]


def _dbfs(magnitude: float) -> float:
    """Return a magnitude in dB of full scale, at least -100."""
    return 20 * math.log10(max(magnitude, _MIN_LEVEL))


def _clip(
    name: str, result: AudioWritten, before: _Channel, after: _Channel
) -> tuple[PageClip, Row]:
    difference = difference_db(display_mel(before.beginning), display_mel(after.beginning))
    mean_abs = float(np.abs(difference).mean())
    text = f"output minus input: mean {difference.mean():+.1f} dB, mean magnitude {mean_abs:.1f} dB"
    clip = PageClip(
        name,
        [Version("input", before.beginning), Version("output", after.beginning)],
        [
            Picture(
                "difference of the mels",
                difference_data_url(difference, _COLOR_LIMIT_DB),
                f"error map, {text}",
            )
        ],
        [
            ("input", str(before)),
            ("output", str(after)),
            ("computed in", f"{result.elapsed_s:.2f} s, {result.times_real_time:.1f} x real time"),
            ("mel", text),
        ],
    )
    values = {
        **_values(result),
        "peak_in": before.peak_dbfs,
        "rms_in": before.rms_dbfs,
        "peak_out": after.peak_dbfs,
        "rms_out": after.rms_dbfs,
        "difference": mean_abs,
    }
    return clip, (name, values)


def difference_db(before: FloatArray, after: FloatArray) -> FloatArray:
    """Return how many dB the second log-mel `(n_mels, frames)` is louder, over their common frames.

    Levels 80 dB or more below the loudest are inaudible and count as equal.
    """
    frames = min(before.shape[1], after.shape[1])
    pair = np.stack([before[:, :frames], after[:, :frames]]) * _DB_PER_NEPER
    pair = np.maximum(pair, pair.max() - _DEPTH_DB)
    difference: FloatArray = pair[1] - pair[0]
    return difference


def _scales() -> list[ColorScale]:
    colors, low, high = level_colors()
    ends = [f"{level * _DB_PER_NEPER:.0f} dB" for level in (low, high)]
    quieter = f"output quieter by {_COLOR_LIMIT_DB:g} dB"
    louder = f"output louder by {_COLOR_LIMIT_DB:g} dB; white: equal"
    return [
        ColorScale("Spectrograms, mel magnitude up to 11 kHz", colors, *ends),
        ColorScale("Difference", difference_colors(), quieter, louder),
    ]
