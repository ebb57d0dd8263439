"""Two folders -> a report: match, align, measure in several processes, collect."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hifigan_cli.errors import HifiganError, InputError
from hifigan_cli.evaluation.alignment import common_lag
from hifigan_cli.evaluation.clips import read_clips
from hifigan_cli.evaluation.measures import choose, measure_pairs
from hifigan_cli.evaluation.metrics.pair import COMPARED_RATE_HZ
from hifigan_cli.evaluation.pairing import Match, match_files
from hifigan_cli.evaluation.report import ClipScores, Report
from hifigan_cli.runtime.process_pool import map_in_order
from hifigan_cli.runtime.threads import processors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
# Processes take seconds to start: fewer clips than this are measured here.
_CLIPS_WORTH_A_PROCESS = 4


@dataclass(frozen=True)
class Task:
    """A match, and how to compare its files; `lag` None asks for the lag alone."""

    match: Match
    measures: tuple[str, ...]
    repair: bool
    lag: int | None = None


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
    """Compare recordings with what was made of them: two files, or two folders.

    Args:
        reference: the recording, or a folder of recordings.
        hypothesis: what was made of them, under the same relative names; extensions may differ.
        metrics: names of `MEASURES` or of their columns; None: all whose packages are installed.
        report: told how many of how many clips are finished, and the last one's name.
        align: shift all results by their common delay first.
        repair: take damaged files as far as they go.
        workers: processes; None: one a core, where there are enough clips.

    Raises:
        UsageError: an unknown metric, or one whose package is missing; a file against a folder.
        InputError: two files that cannot be compared, or folders with nothing to compare. What
            fails among several clips is in the report's `failures`.
    """
    matching = match_files(Path(reference), Path(hypothesis))
    measures, left_out = choose(metrics)
    count = len(matching.matches)
    workers = workers or max(1, min(processors(), count // _CLIPS_WORTH_A_PROCESS))
    names = tuple(measure.name for measure in measures)
    tasks = [Task(match, names, repair) for match in matching.matches]
    failures: list[tuple[str, HifiganError]] = []

    lag = 0
    if align:
        found = list(_collected(_lag, tasks, workers, failures))
        lag = common_lag([lag for _, lag in found])
        tasks = [task for task, _ in found]
    tasks = [replace(task, lag=lag) for task in tasks]
    clips = []
    for done, (task, scores) in enumerate(_collected(_scores, tasks, workers, failures), 1):
        clips.append(scores)
        if report:
            report(done, count, task.match.name)
    if count == 1 and failures:
        raise failures[0][1]
    return Report(
        tuple(clips),
        measures,
        left_out,
        lag,
        matching.lonely_references,
        matching.lonely_hypotheses,
        tuple(failures),
    )


def _collected(
    work: Callable[[Task], T | HifiganError],
    tasks: list[Task],
    workers: int,
    failures: list[tuple[str, HifiganError]],
) -> Iterator[tuple[Task, T]]:
    """Yield what becomes of each task; those that fail go to `failures` instead."""
    results = map_in_order(work, tasks, workers, _crashed)
    for task, result in zip(tasks, results, strict=True):
        if isinstance(result, HifiganError):
            failures.append((task.match.name, result))
        else:
            yield task, result


def _lag(task: Task) -> int | HifiganError | None:
    try:
        return read_clips(task.match.reference, task.match.hypothesis, repair=task.repair).lag
    except InputError as error:
        return error


def _scores(task: Task) -> ClipScores | HifiganError:
    match = task.match
    try:
        clips = read_clips(match.reference, match.hypothesis, repair=task.repair)
        pairs = clips.pairs(task.lag or 0)
    except InputError as error:
        return error
    length_s = len(pairs[0].reference) / COMPARED_RATE_HZ
    values = measure_pairs(pairs, task.measures)
    return ClipScores(match.name, match.reference, match.hypothesis, length_s, values, clips.notes)


def _crashed(task: Task) -> HifiganError:
    return InputError(f"{task.match.hypothesis} or its reference ended the process that read it")
