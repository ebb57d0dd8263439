"""Two files or folders -> a report: pair, align, compute the metrics, collect."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hifigan_cli.errors import InputError
from hifigan_cli.evaluation.clips import COMPARED_RATE, ClipPair, median_lag, read_clips
from hifigan_cli.evaluation.metrics import choose_metrics, score_channels
from hifigan_cli.evaluation.pairing import FilePair, pair_files
from hifigan_cli.evaluation.report import ClipScores, Report
from hifigan_cli.runtime.threads import processors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

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

    def find_lag(self) -> int | None:
        """Return by how many samples the result is late; None if one file is silent."""
        return self.read().lag

    def score(self) -> ClipScores:
        """Compute the metrics."""
        clips = self.read()
        pairs = clips.aligned(self.lag)
        length_s = len(pairs[0].reference) / COMPARED_RATE
        values = score_channels(pairs, self.metrics)
        files = self.files
        return ClipScores(
            files.name, files.reference, files.hypothesis, length_s, values, clips.notes
        )


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

    def results(work: Callable[[Comparison], T]) -> Iterator[tuple[Comparison, T]]:
        found = map_in_order(work, comparisons, workers)
        for comparison, result in zip(comparisons, found, strict=True):
            if isinstance(result, InputError):
                failures.append((comparison.files.name, result))
            else:
                yield comparison, result

    lag = 0
    if align:
        lags = list(results(Comparison.find_lag))
        lag = median_lag([lag for _, lag in lags])
        comparisons = [replace(comparison, lag=lag) for comparison, _ in lags]
    clips = []
    for done, (comparison, scores) in enumerate(results(Comparison.score), 1):
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


def map_in_order(
    work: Callable[[Comparison], T], comparisons: Sequence[Comparison], workers: int
) -> Iterator[T | InputError]:
    """Yield `work(comparison)`, or its `InputError`, in order; with one worker in this process.

    A decoder that crashes on a damaged file ends its process, and with it the pool. The comparison
    that was waited for is then repeated by itself, the rest in a new pool.
    """
    attempt = partial(_attempt, work)
    if workers == 1:
        yield from map(attempt, comparisons)
        return
    waiting = list(comparisons)
    while waiting:
        pool = _process_pool(min(workers, len(waiting)))
        try:
            for future in [pool.submit(attempt, comparison) for comparison in waiting]:
                yield future.result()
                waiting.pop(0)
        except BrokenProcessPool:
            yield _attempt_alone(attempt, waiting.pop(0))
        finally:
            pool.shutdown(cancel_futures=True)


def _attempt(work: Callable[[Comparison], T], comparison: Comparison) -> T | InputError:
    try:
        return work(comparison)
    except InputError as error:
        return error


def _attempt_alone(
    attempt: Callable[[Comparison], T | InputError], comparison: Comparison
) -> T | InputError:
    with _process_pool(1) as pool:
        try:
            return pool.submit(attempt, comparison).result()
        except BrokenProcessPool:
            path = comparison.files.hypothesis
            return InputError(f"{path} or its reference ended the process that read it")


def _process_pool(workers: int) -> ProcessPoolExecutor:
    # A server that has imported everything forks workers that are ready at once. This process has
    # threads and must not be forked.
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload([__name__])
    return ProcessPoolExecutor(workers, context, _begin_worker)


def _begin_worker() -> None:
    """Set up a worker: no output from decoders, ended by Ctrl-C and with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    silent = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(silent, descriptor)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
