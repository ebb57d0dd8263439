"""Journal -> index, manifest and totals.

The journal is read twice, line by line: once for the names, from which the split follows, and once
to write the index.
"""

from __future__ import annotations

import math
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from hifigan_cli.audio.files import replacing, write_bytes
from hifigan_cli.data.preparation.pack import JOURNAL_FILE, read_journal
from hifigan_cli.data.preparation.splits import Division, divide
from hifigan_cli.data.records import (
    CLIPS_FILE,
    MANIFEST_FILE,
    MELS_FILE,
    REJECTED_FILE,
    SAMPLES_FILE,
    Clip,
    Manifest,
    Rejection,
    seal,
    to_line,
)

if TYPE_CHECKING:
    from pathlib import Path

    from hifigan_cli.data.preparation.corpus import Corpus
    from hifigan_cli.data.preparation.options import Options


def finish(folder: Path, corpus: Corpus, options: Options) -> Manifest:
    """Write the index and, last, the manifest; remove the journal.

    Raises:
        OutputError: the file system refused.
    """
    stems = {entry.stem for entry in read_journal(folder) if isinstance(entry.record, Clip)}
    division = divide(stems, options.validation, options.seed, corpus.official)
    totals = _Totals()
    with ExitStack() as stack:
        clips, rejected = (
            stack.enter_context(stack.enter_context(replacing(folder / name)).open("wb"))
            for name in (CLIPS_FILE, REJECTED_FILE)
        )
        for rejection in corpus.absent:
            _write(rejected, rejection, totals)
        for entry in read_journal(folder):
            record = entry.record
            if isinstance(record, Clip):
                _write(clips, replace(record, split=division.split(entry.stem)), totals)
            else:
                _write(rejected, record, totals)
    names = [SAMPLES_FILE, *([MELS_FILE] if options.mels is not None else []), CLIPS_FILE]
    manifest = Manifest(
        rate_hz=options.rate_hz,
        options=options.lasting(),
        mel=options.mel if options.mels is not None else None,
        totals=totals.summary(options.rate_hz, division),
        files={name: seal(folder / name) for name in (*names, REJECTED_FILE)},
    ).sealed()
    write_bytes(folder / MANIFEST_FILE, manifest.to_json().encode())
    (folder / JOURNAL_FILE).unlink()
    return manifest


@dataclass
class _Totals:
    """What the records add up to."""

    clips: Counter[str] = field(default_factory=Counter)
    samples: Counter[str] = field(default_factory=Counter)
    rates: Counter[int] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    peaks: list[float] = field(default_factory=list)
    clipped_clips: int = 0
    clipped_samples: int = 0

    def add(self, record: Clip | Rejection) -> None:
        """Count one record in."""
        if isinstance(record, Rejection):
            self.rejected[record.reason] += 1
            return
        for split in ("training", "validation"):
            if record.split in (split, "both"):
                self.clips[split] += 1
                self.samples[split] += record.samples
        self.rates[record.source_rate_hz] += 1
        self.peaks.append(20 * math.log10(record.peak / record.gain))
        self.clipped_clips += record.clipped > 0
        self.clipped_samples += record.clipped

    def summary(self, rate_hz: int, division: Division) -> dict[str, Any]:
        """Return the totals as JSON-able values; peaks in dB of full scale, as recorded."""
        extremes = (("min", min), ("median", np.median), ("max", max))
        return {
            **{
                split: {
                    "clips": self.clips[split],
                    "samples": self.samples[split],
                    "hours": round(self.samples[split] / rate_hz / 3600, 6),
                }
                for split in ("training", "validation")
            },
            "split": division.kind,
            "source_rates_hz": {str(rate): self.rates[rate] for rate in sorted(self.rates)},
            "peak_dbfs": {name: round(float(f(self.peaks)), 2) for name, f in extremes},
            "clipped": {"clips": self.clipped_clips, "samples": self.clipped_samples},
            "rejected": {reason: self.rejected[reason] for reason in sorted(self.rejected)},
        }


def _write(file: IO[bytes], record: Clip | Rejection, totals: _Totals) -> None:
    file.write(to_line(record))
    totals.add(record)
