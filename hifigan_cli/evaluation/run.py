"""Evaluate two files or folders: pair files, align clips, compute metrics, build the report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hifigan_cli.errors import InputError
from hifigan_cli.evaluation.clips import COMPARISON_RATE, ClipPair, median_lag, read_clips
from hifigan_cli.evaluation.metrics import score_channels, select_metrics
from hifigan_cli.evaluation.pairing import FilePair, pair_files
from hifigan_cli.evaluation.report import ClipScores, Report
from hifigan_cli.runtime.process_pool import map_in_order
from hifigan_cli.runtime.threads import available_cpus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
# Processes take seconds to start, so a few clips are compared in this process.
_CLIPS_PER_PROCESS = 4


@dataclass(frozen=True)
class Comparison:
    """Two files and how to compare them; the result is first shifted by `lag` samples."""

    files: FilePair
    metrics: tuple[str, ...]
    repair: bool
    lag: int = 0

    def read(self) -> ClipPair:
        """Read both files."""
        return read_clips(self.files.reference, self.files.generated, repair=self.repair)


def evaluate(
    reference: Path | str,
    generated: Path | str,
    *,
    metrics: Iterable[str] | None = None,
    report: Callable[[int, int, str], None] | None = None,
    align: bool = True,
    repair: bool = False,
    workers: int | None = None,
) -> Report:
    """Compare results with their reference recordings: two files or two folders.

    Args:
        reference: a recording, or a folder of recordings.
        generated: the generated file, or a folder with the same names; extensions may differ.
        metrics: names of metrics or of their columns; None: all whose packages are installed.
        report: called with the number of finished clips, of all clips, and the last clip's name.
        align: first shift all results by their common delay.
        repair: decode as much of a damaged file as possible.
        workers: number of processes; None: one per CPU, if there are enough clips.

    Raises:
        UsageError: a metric is unknown or its package is missing, or only one path is a folder.
        InputError: two files cannot be compared, or the folders have nothing in common. If one of
            several clips cannot be compared, it is in the report's `failures` instead.
    """
    paired = pair_files(Path(reference), Path(generated))
    selected, skipped = select_metrics(metrics)
    names = tuple(metric.name for metric in selected)
    comparisons = [Comparison(files, names, repair) for files in paired.pairs]
    count = len(comparisons)
    workers = workers or max(1, min(available_cpus(), count // _CLIPS_PER_PROCESS))
    failures: list[tuple[str, InputError]] = []

    def results(work: Callable[[Comparison], T | InputError]) -> Iterator[tuple[Comparison, T]]:
        outcomes = map_in_order(work, comparisons, workers, _crashed)
        for comparison, result in zip(comparisons, outcomes, strict=True):
            if isinstance(result, InputError):
                failures.append((comparison.files.name, result))
            else:
                yield comparison, result

    lag = 0
    if align:
        lags = list(results(_find_lag))
        lag = median_lag([lag for _, lag in lags])
        comparisons = [replace(comparison, lag=lag) for comparison, _ in lags]
    clips = []
    for done, (comparison, scores) in enumerate(results(_score), 1):
        clips.append(scores)
        if report:
            report(done, count, comparison.files.name)
    if count == 1 and failures:
        raise failures[0][1]
    return Report(
        tuple(clips),
        selected,
        skipped,
        lag,
        paired.unmatched_references,
        paired.unmatched_generated,
        tuple(failures),
    )


def _find_lag(comparison: Comparison) -> int | InputError | None:
    try:
        return comparison.read().lag
    except InputError as error:
        return error


def _score(comparison: Comparison) -> ClipScores | InputError:
    try:
        clips = comparison.read()
        pairs = clips.aligned(comparison.lag)
        values = score_channels(pairs, comparison.metrics)
    except InputError as error:
        return error
    length_s = len(pairs[0].reference) / COMPARISON_RATE
    return ClipScores(**vars(comparison.files), length_s=length_s, values=values, notes=clips.notes)


def _crashed(comparison: Comparison) -> InputError:
    path = comparison.files.generated
    return InputError(f"the process that read {path} and its reference crashed")
