"""The preparation from beginning to end."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hifigan_cli.audio.files import is_file, is_folder, make_folder
from hifigan_cli.data.locking import HOLDER_FILE, LOCK_FILE, locked
from hifigan_cli.data.preparation.clip import Task, crashed, prepare_clip
from hifigan_cli.data.preparation.compare import check_same
from hifigan_cli.data.preparation.corpus import Corpus, find_corpus
from hifigan_cli.data.preparation.finish import finish
from hifigan_cli.data.preparation.pack import JOURNAL_FILE, open_pack, read_journal
from hifigan_cli.data.preparation.pool import map_in_order
from hifigan_cli.data.records import (
    CLIPS_FILE,
    MANIFEST_FILE,
    MELS_FILE,
    REJECTED_FILE,
    SAMPLES_FILE,
    Clip,
    Manifest,
    Rejection,
)
from hifigan_cli.errors import InputError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hifigan_cli.data.preparation.options import Options

# The manifest comes first: a folder that loses its files must not look finished meanwhile.
OWN_FILES = (MANIFEST_FILE, JOURNAL_FILE, CLIPS_FILE, REJECTED_FILE, SAMPLES_FILE, MELS_FILE)
_STRAY = re.compile(r"\.\d+\.(" + "|".join(map(re.escape, OWN_FILES)) + r")\.tmp")


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
        state: what happened to it.
        continued_from: files that an earlier, interrupted run had settled.
        seconds: how long this run took.
        totals: clips, hours, rates, peaks and rejections, as the manifest has them.
        digest: the folder's digest.
    """

    folder: Path
    state: Literal["prepared", "up to date"]
    continued_from: int
    seconds: float
    totals: dict[str, Any]
    digest: str


def preprocess(
    source: Path, out: Path, options: Options, report: Callable[[Progress], None]
) -> Summary:
    """Prepare a folder of recordings for training; what an interrupted run did is kept.

    A folder that is already what it should be is left untouched.

    Raises:
        UsageError: the options do not go together, or `out` is the corpus.
        InputError: no audio, or none that is fit.
        OutputError: `out` cannot be written, is in use, or holds something else.
    """
    started = time.monotonic()
    options.check()
    corpus = find_corpus(source, out)
    created = not is_folder(out)
    check_folder(out, options.force)
    make_folder(out)
    try:
        with locked(out):
            manifest, kept, state = _under_lock(corpus, out, options, report)
    except InputError:
        if created:
            with suppress(OSError):
                out.rmdir()
        raise
    seconds = time.monotonic() - started
    return Summary(out, state, kept, seconds, manifest.totals, manifest.digest)


def tasks_of(corpus: Corpus, options: Options) -> list[Task]:
    """Return what has to be done for each clip, in order."""
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
        for source in corpus.sources
    ]


def _under_lock(
    corpus: Corpus, out: Path, options: Options, report: Callable[[Progress], None]
) -> tuple[Manifest, int, Literal["prepared", "up to date"]]:
    tasks = tasks_of(corpus, options)
    total = len(tasks)
    _remove_strays(out)
    if is_file(out / MANIFEST_FILE):
        if not options.force:
            manifest = check_same(
                out,
                corpus,
                tasks,
                options,
                lambda done, current: report(Progress("comparing", done, total, current)),
            )
            (out / JOURNAL_FILE).unlink(missing_ok=True)  # killed between manifest and journal
            return manifest, 0, "up to date"
        _discard(out)
    work = list(zip(corpus.sources, tasks, strict=True))
    with open_pack(out, options.lasting(), work, options.force) as pack:
        kept = pack.done
        outcomes = map_in_order(prepare_clip, tasks[kept:], options.processes, crashed)
        for item, outcome in zip(corpus.sources[kept:], outcomes, strict=True):
            pack.append(item, outcome)
            report(Progress("preparing", pack.done, total, item.path))
    _check_any_fit(out, corpus)
    return finish(out, corpus, options), kept, "prepared"


def check_folder(out: Path, force: bool) -> None:
    """Refuse an output folder that is of something else or cannot be written; touch nothing.

    Raises:
        OutputError: says which of these.
    """
    try:
        out.lstat()
    except FileNotFoundError:
        above = next(folder for folder in out.absolute().parents if os.path.lexists(folder))
        if not os.access(above, os.W_OK | os.X_OK):
            raise OutputError(
                f"{above} cannot be written", "choose another place with -o"
            ) from None
        return
    except OSError as error:
        raise OutputError(f"{out}: {error.strerror}", "choose another place with -o") from error
    if not is_folder(out):
        raise OutputError(f"{out} is not a folder", "choose another place with -o")
    if not os.access(out, os.R_OK | os.W_OK | os.X_OK):
        raise OutputError(f"{out} cannot be written", "choose another place with -o")
    names = {entry.name for entry in out.iterdir()}
    begun = names & {MANIFEST_FILE, JOURNAL_FILE}
    others = [n for n in names - {*OWN_FILES, LOCK_FILE, HOLDER_FILE} if not _STRAY.fullmatch(n)]
    if others and not begun and not force:
        raise OutputError(
            f"{out} holds other files, such as {min(others)}",
            "choose a new folder with -o; --force puts the prepared data beside them",
        )


def _remove_strays(out: Path) -> None:
    """Remove temporaries of a run that was killed while it wrote them."""
    for entry in out.iterdir():
        if _STRAY.fullmatch(entry.name):
            entry.unlink()


def _discard(out: Path) -> None:
    for name in OWN_FILES:
        (out / name).unlink(missing_ok=True)


def _check_any_fit(out: Path, corpus: Corpus) -> None:
    """Refuse a corpus of which nothing is left; leave no files of it.

    Raises:
        InputError: says for which reasons.
    """
    rejected: list[Rejection] = []
    for entry in read_journal(out):
        if isinstance(entry.record, Clip):
            return
        rejected.append(entry.record)
    _discard(out)
    reasons = Counter(rejection.reason for rejection in (*corpus.absent, *rejected))
    counts = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    raise InputError(f"no clip of {corpus.folder} is fit: {counts}", f"first: {rejected[0].detail}")
