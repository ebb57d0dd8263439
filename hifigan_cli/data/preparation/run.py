"""The preparation from beginning to end."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hifigan_cli.data.preparation.clip import Task, crashed, prepare_clip
from hifigan_cli.data.preparation.compare import check_same
from hifigan_cli.data.preparation.corpus import Corpus, find_corpus
from hifigan_cli.data.preparation.finish import clean, finish, part_totals, read_entries
from hifigan_cli.data.preparation.folder import (
    alone,
    check_folder,
    check_journals,
    discard,
    held,
    remove_if_empty,
    remove_strays,
)
from hifigan_cli.data.preparation.packing.journal import (
    listing_digest,
    read_ending,
    withdraw_ending,
)
from hifigan_cli.data.preparation.packing.pack import open_pack
from hifigan_cli.data.records import MANIFEST_FILE, Clip, Rejection, read_manifest
from hifigan_cli.errors import InputError
from hifigan_cli.io.files import is_file, is_folder, make_folder
from hifigan_cli.runtime.process_pool import map_in_order
from hifigan_cli.runtime.sharding import WHOLE, Shard

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hifigan_cli.data.preparation.options import Options
    from hifigan_cli.data.records import Manifest


State = Literal["prepared", "part done", "up to date"]


@dataclass(frozen=True)
class Progress:
    """How far a run is: `done` of `total` files, `current` the one just settled."""

    stage: Literal["preparing", "comparing"]
    done: int
    total: int
    current: str


@dataclass(frozen=True)
class Summary:
    """What a run did.

    Attributes:
        folder: the prepared folder.
        state: what happened to it; "part done" where parts of other processes are not finished.
        part: which part of the work this run did.
        waiting: the numbers of the parts that are not finished.
        continued_from: files that an earlier, interrupted run had settled.
        seconds: how long this run took.
        own: clips, hours and rejections of this part; None where nothing was to be done.
        totals: clips, hours, rates, peaks and rejections of all, as the manifest has them; empty
            while parts are not finished.
        digest: the folder's digest; None likewise.
    """

    folder: Path
    state: State
    part: Shard
    waiting: tuple[int, ...]
    continued_from: int
    seconds: float
    own: dict[str, Any] | None
    totals: dict[str, Any]
    digest: str | None


def preprocess(
    source: Path,
    out: Path,
    options: Options,
    report: Callable[[Progress], None],
    part: Shard = WHOLE,
) -> Summary:
    """Prepare a folder of recordings for training; what an interrupted run did is kept.

    A folder that is already what it should be is left untouched. Of several parts, which may run
    at the same time or one after another, the one that ends last writes the index.

    Raises:
        UsageError: the options do not go together, or `out` is the corpus.
        InputError: no audio, or none that is fit.
        OutputError: `out` cannot be written, is in use, or holds something else.
    """
    started = time.monotonic()
    options.check(part)
    corpus = find_corpus(source, out)
    created = not is_folder(out)
    check_folder(out, options.force)
    make_folder(out)
    try:
        with held(out, part):
            done = _while_held(corpus, out, options, part, report)
    except InputError:
        if created:
            remove_if_empty(out)
        raise
    manifest = done.manifest
    return Summary(
        folder=out,
        state=done.state,
        part=part,
        waiting=done.waiting,
        continued_from=done.kept,
        seconds=time.monotonic() - started,
        own=done.own,
        totals=manifest.totals if manifest else {},
        digest=manifest.digest if manifest else None,
    )


def tasks_of(corpus: Corpus, options: Options, part: Shard = WHOLE) -> list[Task]:
    """Return what has to be done for each clip of a part, in order."""
    return [
        Task(
            file=corpus.folder / source.path,
            path=source.path,
            mel_file=None if options.mels is None else options.mels / f"{source.stem}.npy",
            mel_path=f"{source.stem}.npy",
            mel=options.mel,
            trim=options.trim,
            min_length_s=options.min_length_s,
        )
        for source in part.of(corpus.sources)
    ]


@dataclass(frozen=True)
class _Done:
    state: State
    manifest: Manifest | None
    waiting: tuple[int, ...] = ()
    kept: int = 0
    own: dict[str, Any] | None = None


def _while_held(
    corpus: Corpus, out: Path, options: Options, part: Shard, report: Callable[[Progress], None]
) -> _Done:
    tasks = tasks_of(corpus, options, part)
    if _begin(out, part, force=options.force):
        total = len(tasks)
        manifest = check_same(
            out,
            corpus,
            tasks,
            options,
            part,
            lambda done, current: report(Progress("comparing", done, total, current)),
        )
        clean(out, manifest)  # of a run that was killed between manifest and journal
        return _Done("up to date", manifest)
    kept = _pack(corpus, tasks, out, options, part, report)
    own = part_totals(out, part, options.rate_hz)
    finished, waiting = _end(corpus, out, options, part)
    return _Done("prepared" if finished else "part done", finished, waiting, kept, own)


def _begin(out: Path, part: Shard, *, force: bool) -> bool:
    """Get the folder ready; return whether it is finished, and only has to be compared."""
    with alone(out, part):
        remove_strays(out)
        if is_file(out / MANIFEST_FILE):
            if not force:
                return True
            discard(out)
        check_journals(out, part, force)
        # Until this part is settled again nobody may write the index.
        withdraw_ending(out, part)
    return False


def _pack(
    corpus: Corpus,
    tasks: list[Task],
    out: Path,
    options: Options,
    part: Shard,
    report: Callable[[Progress], None],
) -> int:
    """Pack what an earlier run has not; return how many files that run had settled."""
    sources = part.of(corpus.sources)
    work = list(zip(sources, tasks, strict=True))
    with open_pack(out, part, options.lasting(), work, options.force) as pack:
        kept = pack.done
        outcomes = map_in_order(prepare_clip, tasks[kept:], options.processes, crashed)
        for item, outcome in zip(sources[kept:], outcomes, strict=True):
            pack.append(item, outcome)
            report(Progress("preparing", pack.done, len(tasks), item.path))
        pack.end(listing_digest(corpus.sources))
    return kept


def _end(
    corpus: Corpus, out: Path, options: Options, part: Shard
) -> tuple[Manifest | None, tuple[int, ...]]:
    """Write the index if all parts are settled; else return the numbers of those that are not."""
    listing = listing_digest(corpus.sources)
    with alone(out, part):
        if is_file(
            out / MANIFEST_FILE
        ):  # another part came here just before, and saw this one's end
            return read_manifest(out), ()
        parts = [Shard(number, part.count) for number in range(1, part.count + 1)]
        found = [read_ending(out, other, options.lasting()) for other in parts]
        # An ending of another list of files is that of a corpus that changed meanwhile.
        endings = [ending for ending in found if ending and ending.listing == listing]
        if len(endings) == part.count:
            _check_any_fit(out, corpus, part.count)
            return finish(out, corpus, options, endings), ()
    settled = [ending is not None and ending.listing == listing for ending in found]
    return None, tuple(p.number for p, done in zip(parts, settled, strict=True) if not done)


def _check_any_fit(out: Path, corpus: Corpus, count: int) -> None:
    """Refuse a corpus of which nothing is left; leave no files of it.

    Raises:
        InputError: says for which reasons.
    """
    rejected: list[Rejection] = []
    for entry in read_entries(out, count):
        if isinstance(entry.record, Clip):
            return
        rejected.append(entry.record)
    discard(out)
    reasons = Counter(rejection.reason for rejection in (*corpus.absent, *rejected))
    counts = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    raise InputError(f"no clip of {corpus.folder} is fit: {counts}", f"first: {rejected[0].detail}")
