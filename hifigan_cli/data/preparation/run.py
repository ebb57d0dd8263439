"""The preparation from beginning to end: corpus -> tasks -> processes -> shards -> index."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hifigan_cli.data.preparation.clip import clip_tasks, crashed, prepare_clip
from hifigan_cli.data.preparation.compare import check_same
from hifigan_cli.data.preparation.corpus import find_corpus
from hifigan_cli.data.preparation.folder import (
    check_journals,
    check_output_folder,
    clean,
    discard,
    hold_folder,
    others_wait,
    remove_temporaries,
)
from hifigan_cli.data.preparation.index import finish, shard_totals
from hifigan_cli.data.preparation.journal import withdraw_end
from hifigan_cli.data.preparation.options import PreparationProgress
from hifigan_cli.data.preparation.shards import open_shards
from hifigan_cli.data.records import MANIFEST_FILE
from hifigan_cli.io.files import is_file
from hifigan_cli.runtime.process_pool import map_in_order
from hifigan_cli.runtime.sharding import WHOLE, Shard

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hifigan_cli.data.preparation.options import PreparationOptions
    from hifigan_cli.data.records import Manifest


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
    options.check(shard)
    corpus = find_corpus(source, out)
    tasks = clip_tasks(corpus, options, shard)
    check_output_folder(out, options.force)
    with hold_folder(out, shard):
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
                writer.finish(corpus.listing)
            own = shard_totals(out, shard, options.rate_hz)
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
