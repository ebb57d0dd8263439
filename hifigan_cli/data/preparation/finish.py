"""Journals -> index, manifest and totals.

Each journal is read twice, line by line: once for the names, from which the split follows, and once
to write the index. Where several parts shared the work their lines are dealt out again in turn, so
that the index is in the corpus's order. The samples are not read: their digests are in the endings.
"""

from __future__ import annotations

import math
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from hifigan_cli.data.preparation.packing.journal import read_journal
from hifigan_cli.data.preparation.packing.names import leftovers
from hifigan_cli.data.preparation.splits import Division, divide
from hifigan_cli.data.records import (
    CLIPS_FILE,
    MANIFEST_FILE,
    REJECTED_FILE,
    Clip,
    Manifest,
    Rejection,
    seal,
    to_line,
)
from hifigan_cli.io.files import replacing, write_bytes
from hifigan_cli.runtime.sharding import Shard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hifigan_cli.data.preparation.corpus import Corpus
    from hifigan_cli.data.preparation.options import Options
    from hifigan_cli.data.preparation.packing.journal import Ending, Entry


def finish(folder: Path, corpus: Corpus, options: Options, endings: Sequence[Ending]) -> Manifest:
    """Write the index and, last, the manifest; remove the journals of all parts.

    `endings` are those of all parts, in order.

    Raises:
        OutputError: the file system refused.
    """
    count = len(endings)
    entries = read_entries(folder, count)
    stems = {entry.stem for entry in entries if isinstance(entry.record, Clip)}
    division = divide(stems, options.validation, options.seed, corpus.official)
    totals = _Totals()
    with ExitStack() as stack:
        clips, rejected = (
            stack.enter_context(stack.enter_context(replacing(folder / name)).open("wb"))
            for name in (CLIPS_FILE, REJECTED_FILE)
        )
        for rejection in corpus.absent:
            _write(rejected, rejection, totals)
        for entry in read_entries(folder, count):
            record = entry.record
            if isinstance(record, Clip):
                _write(clips, replace(record, split=division.split(entry.stem)), totals)
            else:
                _write(rejected, record, totals)
    files = {name: known for ending in endings for name, known in ending.files.items()}
    files |= {name: seal(folder / name) for name in (CLIPS_FILE, REJECTED_FILE)}
    manifest = Manifest(
        rate_hz=options.rate_hz,
        options=options.lasting(),
        mel=options.mel if options.mels is not None else None,
        totals=totals.summary(options.rate_hz, division),
        files=dict(sorted(files.items())),
    ).sealed()
    write_bytes(folder / MANIFEST_FILE, manifest.to_json().encode())
    clean(folder, manifest)
    return manifest


def clean(folder: Path, manifest: Manifest) -> None:
    """Remove journals, and packed files of an earlier preparation, from a finished folder."""
    for path in leftovers(folder, set(manifest.files)):
        path.unlink(missing_ok=True)


def read_entries(folder: Path, count: int) -> Iterator[Entry]:
    """Read the journals of all parts, one line of each in turn: the corpus's order."""
    journals = [read_journal(folder, Shard(number, count)) for number in range(1, count + 1)]
    while journals:  # the first parts may have one file more than the last
        for journal in journals.copy():
            entry = next(journal, None)
            if entry is None:
                journals.remove(journal)
            else:
                yield entry


def part_totals(folder: Path, part: Shard, rate_hz: int) -> dict[str, Any]:
    """Return what one part's clips and rejections add up to; the split is not known yet."""
    records = [entry.record for entry in read_journal(folder, part)]
    lengths = [record.samples for record in records if isinstance(record, Clip)]
    rejected = Counter(record.reason for record in records if isinstance(record, Rejection))
    return {
        "clips": len(lengths),
        "samples": sum(lengths),
        "hours": round(sum(lengths) / rate_hz / 3600, 6),
        "rejected": dict(sorted(rejected.items())),
    }


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
