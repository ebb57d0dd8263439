"""Run the complete preparation: corpus -> tasks -> processes -> packed files -> index.

`plan` estimates a run for `--dry-run`: sizes from the file headers, time from a few clips.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hifigan_cli.audio.reading import audio_length_s
from hifigan_cli.data.preparation.clip import ClipTask, clip_tasks, crash_outcome, prepare_clip
from hifigan_cli.data.preparation.compare import check_unchanged
from hifigan_cli.data.preparation.corpus import Corpus, find_corpus
from hifigan_cli.data.preparation.folder import (
    check_journals,
    check_output_folder,
    exclusive_access,
    journal_shards,
    remove_leftovers,
    remove_preparation,
    remove_temporaries,
)
from hifigan_cli.data.preparation.index import compute_shard_totals, finish_preparation
from hifigan_cli.data.preparation.journal import remove_journal_end
from hifigan_cli.data.preparation.options import PreparationProgress
from hifigan_cli.data.preparation.packing import open_packed_files
from hifigan_cli.data.records import MANIFEST_FILE
from hifigan_cli.errors import InputError
from hifigan_cli.io.files import is_file, is_folder
from hifigan_cli.io.locks import lock_output_folder
from hifigan_cli.runtime.process_pool import map_in_order
from hifigan_cli.runtime.sharding import UNSHARDED, Shard

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hifigan_cli.data.preparation.options import PreparationOptions
    from hifigan_cli.data.records import Manifest


_TIMED_CLIPS = 6
_POOL_START_S = 3.0  # the processes import their libraries first
_INDEX_BYTES_PER_CLIP = 600  # approximate


@dataclass(frozen=True)
class PreparationPlan:
    """The plan of a run or of a shard.

    Attributes:
        files: number of audio files in this shard.
        unreadable: number of files with an unreadable header.
        missing: number of listed files that do not exist, and of unreadable folders.
        hours: length of the readable files according to their headers.
        output_bytes: estimated size of the prepared folder.
        estimated_s: estimated duration, in seconds.
        processes: number of processes.
        state: whether the output folder is new, unfinished, finished (the run will compare it with
            the corpus) or finished and replaced.
    """

    files: int
    unreadable: int
    missing: int
    hours: float
    output_bytes: int
    estimated_s: float
    processes: int
    state: Literal["new", "unfinished", "finished", "replaced"]


@dataclass(frozen=True)
class PreparationSummary:
    """The result of a run.

    Attributes:
        folder: the prepared folder.
        state: its state; "shard done" means that other shards are unfinished.
        shard: the shard that this run did.
        unfinished_shards: the numbers of the unfinished shards.
        resumed_files: number of files that an earlier, interrupted run had done.
        elapsed_s: duration of this run, in seconds.
        shard_totals: clips, hours and rejections of this shard; None if the folder was up to date.
        totals: clips, hours, rates, peaks and rejections of all shards, as in the manifest; empty
            while shards are unfinished.
        digest: the folder's digest; None while shards are unfinished.
    """

    folder: Path
    state: Literal["prepared", "shard done", "up to date"]
    shard: Shard
    unfinished_shards: tuple[int, ...]
    resumed_files: int
    elapsed_s: float
    shard_totals: dict[str, Any] | None
    totals: dict[str, Any]
    digest: str | None


def preprocess(
    source: Path,
    out: Path,
    options: PreparationOptions,
    report: Callable[[PreparationProgress], None],
    shard: Shard = UNSHARDED,
) -> PreparationSummary:
    """Prepare a folder of recordings for training; resume an interrupted run.

    An output folder that is up to date is not changed. Shards may run at the same time
    or one after another; the last one to end writes the index.

    Raises:
        UsageError: options conflict, or `out` is the corpus.
        InputError: there is no audio, or no clip is usable.
        OutputError: `out` cannot be written, is in use, or has other content.
    """
    started = time.monotonic()
    corpus, tasks = _check_and_list(source, out, options, shard)
    with lock_output_folder(out, shard, targets=()):
        manifest: Manifest | None
        resumed = 0
        shard_totals: dict[str, Any] | None = None
        unfinished_shards: tuple[int, ...] = ()
        if finished := _prepare_folder(out, shard, options.force):
            manifest = check_unchanged(out, corpus, tasks, options, shard, report)
            # A run may have been killed after it wrote the manifest.
            remove_leftovers(out, manifest.files)
        else:
            with open_packed_files(out, shard, options, tasks) as writer:
                resumed = writer.done
                remaining = tasks[resumed:]
                outcomes = map_in_order(prepare_clip, remaining, options.processes, crash_outcome)
                for done, outcome in enumerate(outcomes, resumed + 1):
                    writer.append(outcome)
                    path = outcome.record.path
                    report(PreparationProgress("preparing", done, len(tasks), path))
                # Compute the totals before `finish_preparation`, because another process may
                # remove the journal afterwards.
                shard_totals = compute_shard_totals(out, shard, options.sample_rate)
                writer.finish(corpus.paths_sha256)
            manifest, unfinished_shards = finish_preparation(out, corpus, options, shard)
    return PreparationSummary(
        folder=out,
        state="up to date" if finished else "prepared" if manifest else "shard done",
        shard=shard,
        unfinished_shards=unfinished_shards,
        resumed_files=resumed,
        elapsed_s=time.monotonic() - started,
        shard_totals=shard_totals,
        totals=manifest.totals if manifest else {},
        digest=manifest.digest if manifest else None,
    )


def _check_and_list(
    source: Path, out: Path, options: PreparationOptions, shard: Shard
) -> tuple[Corpus, list[ClipTask]]:
    """Check the options, the corpus and the output folder; return the corpus and the tasks."""
    options.check(shard)
    corpus = find_corpus(source, out)
    check_output_folder(out, options.force)
    return corpus, clip_tasks(corpus, options, shard)


def _prepare_folder(out: Path, shard: Shard, force: bool) -> bool:
    """Prepare the output folder; return whether it is finished and only needs a comparison."""
    with exclusive_access(out, shard):
        remove_temporaries(out)
        if is_file(out / MANIFEST_FILE):
            if not force:
                return True
            remove_preparation(out)
        check_journals(out, shard, force)
        # No process may write the index until this shard is done.
        remove_journal_end(out, shard)
    return False


def plan(
    source: Path, out: Path, options: PreparationOptions, shard: Shard = UNSHARDED
) -> PreparationPlan:
    """Return the plan of `preprocess`; change nothing.

    Raises:
        UsageError: options conflict, or `out` is the corpus.
        InputError: there is no audio.
        OutputError: `out` cannot be written, or has other content.
    """
    corpus, tasks = _check_and_list(source, out, options, shard)
    with ThreadPoolExecutor(options.processes) as pool:
        lengths = list(pool.map(_length_s, tasks))
    length_s = sum(length for length in lengths if length is not None)
    samples = round(length_s * options.sample_rate)
    size = 2 * samples + _INDEX_BYTES_PER_CLIP * len(tasks)
    if options.mels is not None:
        size += 4 * options.mel.n_mels * (samples // options.mel.hop_length)
    processes = max(1, min(options.processes, len(tasks)))
    work_s = length_s * _work_per_audio_second(tasks, lengths) / processes
    state: Literal["new", "unfinished", "finished", "replaced"] = "new"
    if is_file(out / MANIFEST_FILE):
        state = "replaced" if options.force else "finished"
    elif is_folder(out) and journal_shards(out):
        state = "unfinished"
    return PreparationPlan(
        files=len(tasks),
        unreadable=sum(length is None for length in lengths),
        missing=len(corpus.missing),
        hours=length_s / 3600,
        output_bytes=size,
        estimated_s=work_s + (_POOL_START_S if processes > 1 else 0),
        processes=processes,
        state=state,
    )


def _length_s(task: ClipTask) -> float | None:
    """Return the length in seconds according to a file's header; None if it is not audio."""
    try:
        return audio_length_s(task.audio_file)
    except InputError:
        return None


def _work_per_audio_second(tasks: list[ClipTask], lengths: list[float | None]) -> float:
    """Measure on a few clips how many seconds of work one second of audio needs."""
    readable = [(task, length) for task, length in zip(tasks, lengths, strict=True) if length]
    chosen = readable[:: max(1, len(readable) // _TIMED_CLIPS)][:_TIMED_CLIPS]
    started = time.perf_counter()
    for task, _ in chosen:
        prepare_clip(task)
    return (time.perf_counter() - started) / max(1e-9, sum(length for _, length in chosen))
