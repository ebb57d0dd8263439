"""Two files or folders -> a report: pair, align, compute the metrics, collect."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hifigan_cli.errors import InputError
from hifigan_cli.evaluation.clips import COMPARED_RATE, ClipPair, median_lag, read_clips
from hifigan_cli.evaluation.metrics import choose_metrics, score_channels
from hifigan_cli.evaluation.pairing import FilePair, pair_files
from hifigan_cli.evaluation.report import ClipScores, Report
from hifigan_cli.runtime.process_pool import map_in_order
from hifigan_cli.runtime.threads import processors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
# Processes take seconds to start: fewer clips are compared in this one.
_CLIPS_PER_PROCESS = 4


@dataclass(frozen=True)
class Comparison:
    """Two files, and how to compare them; the result is shifted by `lag` samples first."""

    files: FilePair
    metrics: tuple[str, ...]
    repair: bool
    lag: int = 0

    def read(self) -> ClipPair:
        """Read both files."""
        return read_clips(self.files.reference, self.files.hypothesis, repair=self.repair)


def evaluate(
    reference: Path | str,
    hypothesis: Path | str,
    *,
    metrics: Iterable[str] | None = None,
    report: Callable[[int, int, str], None] | None = None,
    align: bool = True,
    repair: bool = False,
    workers: int | None = None,
) -> Report:
    """Compare results with their recordings: two files, or two folders.

    Args:
        reference: the recording, or a folder of recordings.
        hypothesis: the result, or a folder with the same relative names; extensions may differ.
        metrics: names of `METRICS` or of their columns; None: all whose packages are installed.
        report: called with the number of finished clips, of all clips, and the last one's name.
        align: shift all results by their common delay first.
        repair: decode as much of a damaged file as possible.
        workers: processes; None: one per core, if there are enough clips.

    Raises:
        UsageError: an unknown metric, or one whose package is missing; a file against a folder.
        InputError: two files that cannot be compared, or folders with nothing to compare. If one
            of several clips cannot be compared, it is in the report's `failures` instead.
    """
    paired = pair_files(Path(reference), Path(hypothesis))
    chosen, left_out = choose_metrics(metrics)
    names = tuple(metric.name for metric in chosen)
    comparisons = [Comparison(files, names, repair) for files in paired.pairs]
    count = len(comparisons)
    workers = workers or max(1, min(processors(), count // _CLIPS_PER_PROCESS))
    failures: list[tuple[str, InputError]] = []

    def results(work: Callable[[Comparison], T | InputError]) -> Iterator[tuple[Comparison, T]]:
        found = map_in_order(work, comparisons, workers, _crashed)
        for comparison, result in zip(comparisons, found, strict=True):
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
        chosen,
        left_out,
        lag,
        paired.unmatched_references,
        paired.unmatched_hypotheses,
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
    length_s = len(pairs[0].reference) / COMPARED_RATE
    return ClipScores(**vars(comparison.files), length_s=length_s, values=values, notes=clips.notes)


def _crashed(comparison: Comparison) -> InputError:
    path = comparison.files.hypothesis
    return InputError(f"{path} or its reference ended the process that read it")
