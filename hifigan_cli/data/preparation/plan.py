"""What a run would do, for `--dry-run`: sizes from the headers, time from a few clips."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hifigan_cli.audio.reading import audio_length_s
from hifigan_cli.data.preparation.clip import ClipTask, clip_tasks, prepare_clip
from hifigan_cli.data.preparation.corpus import find_corpus
from hifigan_cli.data.preparation.folder import check_output_folder, journals
from hifigan_cli.data.records import MANIFEST_FILE
from hifigan_cli.errors import InputError
from hifigan_cli.io.files import is_file, is_folder
from hifigan_cli.runtime.sharding import WHOLE

if TYPE_CHECKING:
    from pathlib import Path

    from hifigan_cli.data.preparation.options import PreparationOptions
    from hifigan_cli.runtime.sharding import Shard

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


def plan(
    source: Path, out: Path, options: PreparationOptions, shard: Shard = WHOLE
) -> PreparationPlan:
    """Return what `preprocess` would do; touch nothing.

    Raises:
        UsageError: the options do not go together, or `out` is the corpus.
        InputError: there is no audio.
        OutputError: `out` cannot be written, or holds something else.
    """
    options.check(shard)
    corpus = find_corpus(source, out)
    check_output_folder(out, options.force)
    tasks = clip_tasks(corpus, options, shard)
    with ThreadPoolExecutor(options.processes) as pool:
        lengths = list(pool.map(_length_s, tasks))
    length_s = sum(length for length in lengths if length is not None)
    samples = round(length_s * options.rate_hz)
    size = 2 * samples + _INDEX_BYTES * len(tasks)
    if options.mels is not None:
        size += 4 * options.mel.n_mels * (samples // options.mel.hop_samples)
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
