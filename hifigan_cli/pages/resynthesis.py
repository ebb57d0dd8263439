"""What `hifigan resynth` read and wrote, side by side: sound, mels, and where they differ."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.audio.pictures import difference_colours, level_colours
from hifigan_cli.audio.reading import Audio, read_audio
from hifigan_cli.pages.build import build_page
from hifigan_cli.pages.content import Heading, PageContent, Picture, Scale, ShownClip, Version
from hifigan_cli.pages.media import difference_address, shown_mel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hifigan_cli.audio.logmel import Mel

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
    source = read_audio(made.source, repair=True)
    source = source.mono() if mono else source
    target = read_audio(made.target, repair=True)
    for number in range(source.channels):
        name = str(made.source)
        if source.channels > 1:
            name += f", channel {number + 1} of {source.channels}"
        before, after = (
            replace(audio, samples=audio.samples[number : number + 1]) for audio in (source, target)
        )
        yield _clip(name, made, before, after)


def _clip(name: str, made: Made, before: Audio, after: Audio) -> tuple[ShownClip, Figures]:
    heard = [_beginning(audio) for audio in (before, after)]
    difference = difference_db(shown_mel(heard[0]), shown_mel(heard[1]))
    size = float(np.abs(difference).mean())
    levels = {
        f"{what}_{side}": level
        for side, audio in (("in", before), ("out", after))
        for what, level in zip(("peak", "rms"), _levels_dbfs(audio), strict=True)
    }
    words = (
        f"output minus input: {difference.mean():+.1f} dB in the mean, {size:.1f} dB of either sign"
    )
    facts = [
        ("input", _described(before, levels["peak_in"], levels["rms_in"])),
        ("output", _described(after, levels["peak_out"], levels["rms_out"])),
        ("made in", f"{made.elapsed_s:.2f} s, {made.length_s / made.elapsed_s:.1f} x real time"),
        ("mel", words),
    ]
    address = difference_address(difference, _LIMIT_DB)
    clip = ShownClip(
        name,
        [Version("input", heard[0]), Version("output", heard[1])],
        [Picture("difference of the mels", address, f"error map, {words}")],
        facts,
    )
    return clip, {**made.figures(), **levels, "difference": size}


def difference_db(before: Mel, after: Mel) -> Mel:
    """Return by how many dB one log-mel `(mels, frames)` is louder than another, as far as both go.

    What lies 80 dB and more under the loudest counts as equally silent: nobody hears it.
    """
    frames = min(before.shape[1], after.shape[1])
    pair = np.stack([before[:, :frames], after[:, :frames]]) * _DB_PER_NEPER
    pair = np.maximum(pair, pair.max() - _DEPTH_DB)
    difference: Mel = pair[1] - pair[0]
    return difference


def _beginning(audio: Audio) -> Audio:
    return replace(audio, samples=audio.samples[:, : round(HEARD_S * audio.rate_hz)])


def _levels_dbfs(audio: Audio) -> tuple[float, float]:
    """Return peak and root mean square in dB of full scale, at least -100."""
    peak = float(np.abs(audio.samples).max(initial=0))
    rms = math.sqrt(float(np.mean(np.square(audio.samples, dtype=np.float64))))
    found = [20 * math.log10(max(size, _NO_LEVEL)) for size in (peak, rms)]
    return found[0], found[1]


def _described(audio: Audio, peak: float, rms: float) -> str:
    samples = audio.samples.shape[1]
    return (
        f"{audio.length_s:.2f} s, {samples:,} samples at {audio.rate_hz:,} Hz, "
        f"peak {peak:.1f}, level {rms:.1f} dBFS"
    )


def _scales() -> tuple[Scale, Scale]:
    colours, low, high = level_colours()
    below, above = f"{low * _DB_PER_NEPER:.0f} dB", f"{high * _DB_PER_NEPER:.0f} dB"
    sign = f"{_LIMIT_DB:g} dB"
    return (
        Scale("Spectrograms, mel magnitude up to 11 kHz", colours, below, above),
        Scale(
            "Difference",
            difference_colours(),
            f"output quieter by {sign}",
            f"output louder by {sign}; white: the same",
        ),
    )
