"""The preparation from beginning to end: corpus -> tasks -> processes -> shards -> index.

`plan` estimates it for `--dry-run`: sizes from the headers, time from a few clips.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hifigan_cli.audio.reading import audio_length_s
from hifigan_cli.data.preparation.clip import ClipTask, clip_tasks, crashed, prepare_clip
from hifigan_cli.data.preparation.compare import check_same
from hifigan_cli.data.preparation.corpus import Corpus, find_corpus
from hifigan_cli.data.preparation.folder import (
    check_journals,
    check_output_folder,
    clean,
    discard,
    journals,
    others_wait,
    remove_temporaries,
)
from hifigan_cli.data.preparation.index import finish, shard_totals
from hifigan_cli.data.preparation.journal import withdraw_end
from hifigan_cli.data.preparation.options import PreparationProgress
from hifigan_cli.data.preparation.shards import open_shards
from hifigan_cli.data.records import MANIFEST_FILE
from hifigan_cli.errors import InputError
from hifigan_cli.io.files import is_file, is_folder
from hifigan_cli.io.locks import hold_folder
from hifigan_cli.runtime.process_pool import map_in_order
from hifigan_cli.runtime.sharding import WHOLE, Shard

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hifigan_cli.data.preparation.options import PreparationOptions
    from hifigan_cli.data.records import Manifest


_TIMED_CLIPS = 6
_START_S = 3.0  # a pool of processes imports its libraries first
_INDEX_BYTES = 600  # a clip's line in the index, about


@dataclass(frozen=True)
class PreparationPlan:
    """What a run, or a shard of the work, would do.

    Attributes:
        files: audio files found that belong to this shard.
        unreadable: those whose header cannot be read.
        absent: files that the corpus lists and does not have.
        hours: length of the others, by their headers.
        output_bytes: about the size of the prepared folder.
        seconds: about the time it takes.
        processes: how many would share the work.
        state: whether the output folder is new, unfinished, finished and to be compared, or
            finished and to be replaced.
    """

    files: int
    unreadable: int
    absent: int
    hours: float
    output_bytes: int
    seconds: float
    processes: int
    state: Literal["new", "unfinished", "finished", "replaced"]


@dataclass(frozen=True)
class PreparationSummary:
    """What a run did.

    Attributes:
        folder: the prepared folder.
        state: what happened to it; "part done" where other shards of the work are not finished.
        shard: which shard of the work this run did.
        waiting: the numbers of the shards that are not finished.
        continued_from: files that an earlier, interrupted run had settled.
        seconds: how long this run took.
        own: clips, hours and rejections of this shard; None where nothing was to be done.
        totals: clips, hours, rates, peaks and rejections of all, as the manifest has them; empty
            while shards are not finished.
        digest: the folder's digest; None likewise.
    """

    folder: Path
    state: Literal["prepared", "part done", "up to date"]
    shard: Shard
    waiting: tuple[int, ...]
    continued_from: int
    seconds: float
    own: dict[str, Any] | None
    totals: dict[str, Any]
    digest: str | None


def preprocess(
    source: Path,
    out: Path,
    options: PreparationOptions,
    report: Callable[[PreparationProgress], None],
    shard: Shard = WHOLE,
) -> PreparationSummary:
    """Prepare a folder of recordings for training, from where an interrupted run stopped.

    A folder that is already what it should be is left untouched. Of several shards of the work,
    which may run at the same time or one after another, the one that ends last writes the index.

    Raises:
        UsageError: the options do not go together, or `out` is the corpus.
        InputError: no audio, or none that is fit.
        OutputError: `out` cannot be written, is in use, or holds something else.
    """
    started = time.monotonic()
    corpus, tasks = _look(source, out, options, shard)
    with hold_folder(out, shard, targets=()):
        manifest: Manifest | None
        resumed = 0
        own: dict[str, Any] | None = None
        waiting: tuple[int, ...] = ()
        if finished := _begin(out, shard, options.force):
            manifest = check_same(out, corpus, tasks, options, shard, report)
            clean(out, manifest.files)  # of a run that was killed after it wrote the manifest
        else:
            with open_shards(out, shard, options, tasks) as writer:
                resumed = writer.done
                todo = tasks[resumed:]
                outcomes = map_in_order(prepare_clip, todo, options.processes, crashed)
                for done, outcome in enumerate(outcomes, resumed + 1):
                    writer.append(outcome)
                    path = outcome.record.path
                    report(PreparationProgress("preparing", done, len(tasks), path))
                # Now: after its end another process may write the index and remove the journal.
                own = shard_totals(out, shard, options.sample_rate)
                writer.finish(corpus.listing)
            manifest, waiting = finish(out, corpus, options, shard)
    return PreparationSummary(
        folder=out,
        state="up to date" if finished else "prepared" if manifest else "part done",
        shard=shard,
        waiting=waiting,
        continued_from=resumed,
        seconds=time.monotonic() - started,
        own=own,
        totals=manifest.totals if manifest else {},
        digest=manifest.digest if manifest else None,
    )


def _look(
    source: Path, out: Path, options: PreparationOptions, shard: Shard
) -> tuple[Corpus, list[ClipTask]]:
    """Check everything that can be checked without touching the output folder; list the work."""
    options.check(shard)
    corpus = find_corpus(source, out)
    check_output_folder(out, options.force)
    return corpus, clip_tasks(corpus, options, shard)


def _begin(out: Path, shard: Shard, force: bool) -> bool:
    """Get the folder ready; return whether it is finished, and only has to be compared."""
    with others_wait(out, shard):
        remove_temporaries(out)
        if is_file(out / MANIFEST_FILE):
            if not force:
                return True
            discard(out)
        check_journals(out, shard, force)
        # Until this shard is settled again nobody may write the index.
        withdraw_end(out, shard)
    return False


def plan(
    source: Path, out: Path, options: PreparationOptions, shard: Shard = WHOLE
) -> PreparationPlan:
    """Return what `preprocess` would do; touch nothing.

    Raises:
        UsageError: the options do not go together, or `out` is the corpus.
        InputError: there is no audio.
        OutputError: `out` cannot be written, or holds something else.
    """
    corpus, tasks = _look(source, out, options, shard)
    with ThreadPoolExecutor(options.processes) as pool:
        lengths = list(pool.map(_length_s, tasks))
    length_s = sum(length for length in lengths if length is not None)
    samples = round(length_s * options.sample_rate)
    size = 2 * samples + _INDEX_BYTES * len(tasks)
    if options.mels is not None:
        size += 4 * options.mel.n_mels * (samples // options.mel.hop_length)
    processes = max(1, min(options.processes, len(tasks)))
    work_s = length_s * _cost(tasks, lengths) / processes
    state: Literal["new", "unfinished", "finished", "replaced"] = "new"
    if is_file(out / MANIFEST_FILE):
        state = "replaced" if options.force else "finished"
    elif is_folder(out) and journals(out):
        state = "unfinished"
    return PreparationPlan(
        files=len(tasks),
        unreadable=sum(length is None for length in lengths),
        absent=len(corpus.absent),
        hours=length_s / 3600,
        output_bytes=size,
        seconds=work_s + (_START_S if processes > 1 else 0),
        processes=processes,
        state=state,
    )


def _length_s(task: ClipTask) -> float | None:
    """Return the length in seconds that a file's header announces; None if it is not sound."""
    try:
        return audio_length_s(task.audio_file)
    except InputError:
        return None


def _cost(tasks: list[ClipTask], lengths: list[float | None]) -> float:
    """Measure on a few clips how many seconds of work a second of audio takes."""
    known = [(task, length) for task, length in zip(tasks, lengths, strict=True) if length]
    chosen = known[:: max(1, len(known) // _TIMED_CLIPS)][:_TIMED_CLIPS]
    started = time.perf_counter()
    for task, _ in chosen:
        prepare_clip(task)
    return (time.perf_counter() - started) / max(1e-9, sum(length for _, length in chosen))
