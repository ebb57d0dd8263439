"""Write the index, the manifest and the totals from the journals.

Each journal is read twice, line by line: once for the names, which determine the split, and once to
write the index. If several processes shared the work, their lines are interleaved, so that the
index is in the order of the corpus. The samples are not read: the journals have their digests.
"""

from __future__ import annotations

import math
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from hifigan_cli.data.preparation.folder import (
    exclusive_access,
    remove_leftovers,
    remove_preparation,
)
from hifigan_cli.data.preparation.journal import read_journal_end, read_journal_records
from hifigan_cli.data.preparation.splits import choose_validation
from hifigan_cli.data.records import (
    CLIPS_FILE,
    MANIFEST_FILE,
    REJECTED_FILE,
    Clip,
    FileChecksum,
    Manifest,
    Rejection,
    checksum,
    read_manifest,
    to_json_line,
)
from hifigan_cli.errors import InputError
from hifigan_cli.io.files import atomic_replace, is_file, write_bytes
from hifigan_cli.runtime.sharding import Shard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hifigan_cli.data.preparation.corpus import Corpus, CorpusFile
    from hifigan_cli.data.preparation.options import PreparationOptions

_SPLITS = ("training", "validation")


def finish_preparation(
    out: Path, corpus: Corpus, options: PreparationOptions, shard: Shard
) -> tuple[Manifest | None, tuple[int, ...]]:
    """Write index and manifest if all shards are done; otherwise return the unfinished shards.

    Raises:
        InputError: no clip is usable.
        OutputError: writing failed, or another process locks the folder for too long.
    """
    with exclusive_access(out, shard):
        if is_file(out / MANIFEST_FILE):  # another process wrote it after the end of this shard
            return read_manifest(out), ()
        unfinished_shards: list[int] = []
        files: dict[str, FileChecksum] = {}
        for number in range(1, shard.count + 1):
            end = read_journal_end(out, Shard(number, shard.count), options.result_options())
            # Another list of files means that the corpus changed meanwhile.
            if end is None or end.paths_sha256 != corpus.paths_sha256:
                unfinished_shards.append(number)
            else:
                files |= end.files
        if unfinished_shards:
            return None, tuple(unfinished_shards)
        return _write_index(out, corpus, options, shard.count, files), ()


def compute_shard_totals(out: Path, shard: Shard, sample_rate: int) -> dict[str, Any]:
    """Return the totals of a shard, without a split, which is not known yet."""
    totals = _Totals()
    for record in read_journal_records(out, shard):
        totals.add(record)
    rejected = dict(sorted(totals.rejected.items()))
    return {**totals.length("training", sample_rate), "rejected": rejected}


def _write_index(
    out: Path,
    corpus: Corpus,
    options: PreparationOptions,
    count: int,
    files: dict[str, FileChecksum],
) -> Manifest:
    """Write the index and, last, the manifest; remove all journals."""
    stems = {
        file.stem for file, record in _all_records(out, corpus, count) if isinstance(record, Clip)
    }
    if not stems:
        raise _no_usable_clip_error(out, corpus, count)
    split = choose_validation(stems, options.validation, options.seed, corpus.is_ljspeech)
    totals = _Totals()
    with ExitStack() as stack:
        clips, rejected = (
            stack.enter_context(stack.enter_context(atomic_replace(out / name)).open("wb"))
            for name in (CLIPS_FILE, REJECTED_FILE)
        )
        for rejection in corpus.missing:
            rejected.write(to_json_line(rejection))
            totals.add(rejection)
        for file, record in _all_records(out, corpus, count):
            if isinstance(record, Clip):
                record = replace(record, split=split.split_of(file.stem))
            (clips if isinstance(record, Clip) else rejected).write(to_json_line(record))
            totals.add(record)
    files |= {name: checksum(out / name) for name in (CLIPS_FILE, REJECTED_FILE)}
    manifest = Manifest(
        sample_rate=options.sample_rate,
        options=options.result_options(),
        mel=options.mel if options.mels is not None else None,
        totals=totals.summary(options.sample_rate, split.kind),
        files=dict(sorted(files.items())),
    ).with_digest()
    write_bytes(out / MANIFEST_FILE, manifest.to_json().encode())
    remove_leftovers(out, manifest.files)
    return manifest


def _all_records(
    out: Path, corpus: Corpus, count: int
) -> Iterator[tuple[CorpusFile, Clip | Rejection]]:
    """Yield each file of the corpus with its record; interleave the journals of all processes."""
    journals = [read_journal_records(out, Shard(number, count)) for number in range(1, count + 1)]
    for file, journal in zip(corpus.files, cycle(journals), strict=False):
        yield file, next(journal)


def _no_usable_clip_error(out: Path, corpus: Corpus, count: int) -> InputError:
    """Remove the preparation; return an error with the reasons of all rejections."""
    records = [record for _, record in _all_records(out, corpus, count)]
    rejected = [record for record in records if isinstance(record, Rejection)]
    remove_preparation(out)
    reasons = Counter(rejection.reason for rejection in (*corpus.missing, *rejected))
    counts = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    return InputError(
        f"no clip of {corpus.folder} is usable: {counts}", f"first: {rejected[0].detail}"
    )


@dataclass
class _Totals:
    """The sums over all records."""

    clips: Counter[str] = field(default_factory=Counter)
    samples: Counter[str] = field(default_factory=Counter)
    rates: Counter[int] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    peaks: list[float] = field(default_factory=list)
    clipped_clips: int = 0
    clipped_samples: int = 0

    def add(self, record: Clip | Rejection) -> None:
        """Add one record."""
        if isinstance(record, Rejection):
            self.rejected[record.reason] += 1
            return
        for split in _SPLITS:
            if record.split in (split, "both"):
                self.clips[split] += 1
                self.samples[split] += record.samples
        self.rates[record.source_sample_rate] += 1
        self.peaks.append(20 * math.log10(record.peak / record.gain))
        self.clipped_clips += record.clipped > 0
        self.clipped_samples += record.clipped

    def summary(self, sample_rate: int, split_kind: str) -> dict[str, Any]:
        """Return the totals as JSON-compatible values; peaks are in dBFS, before gain."""
        extremes = (("min", min), ("median", np.median), ("max", max))
        return {
            **{split: self.length(split, sample_rate) for split in _SPLITS},
            "split": split_kind,
            "source_rates_hz": {str(rate): self.rates[rate] for rate in sorted(self.rates)},
            "peak_dbfs": {name: round(float(f(self.peaks)), 2) for name, f in extremes},
            "clipped": {"clips": self.clipped_clips, "samples": self.clipped_samples},
            "rejected": dict(sorted(self.rejected.items())),
        }

    def length(self, split: str, sample_rate: int) -> dict[str, Any]:
        """Return the number of clips and samples and the hours of a split."""
        clips, samples = self.clips[split], self.samples[split]
        return {"clips": clips, "samples": samples, "hours": round(samples / sample_rate / 3600, 6)}
