"""Whether a finished folder is what the corpus and the options would give now."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING

from hifigan_cli.data.preparation.clip import ClipTask, digests
from hifigan_cli.data.preparation.options import PreparationProgress
from hifigan_cli.data.prepared import open_prepared, rejections
from hifigan_cli.data.records import CLIPS_FILE, Clip, Rejection, read_lines
from hifigan_cli.errors import InputError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from hifigan_cli.data.preparation.corpus import Corpus
    from hifigan_cli.data.preparation.options import PreparationOptions
    from hifigan_cli.data.records import Manifest
    from hifigan_cli.runtime.sharding import Shard

_NAMED = 3  # how many files a message names


def check_same(
    folder: Path,
    corpus: Corpus,
    tasks: Sequence[ClipTask],
    options: PreparationOptions,
    shard: Shard,
    report: Callable[[PreparationProgress], None],
) -> Manifest:
    """Compare a finished folder with the corpus, file by file and by digest.

    `tasks` are those of the shard of the work; of the folder's own files too only a shard is read.

    Raises:
        OutputError: the options or the files differ, or the folder is damaged.
    """
    try:
        data = open_prepared(folder)
        known, wanted = data.manifest.options, options.lasting()
        differences = [
            f"{key} was {known.get(key)}, now {wanted.get(key)}"
            for key in sorted(known.keys() | wanted.keys())
            if known.get(key) != wanted.get(key)
        ]
        if not differences:
            data.verify(shard)
            clips = read_lines(folder / CLIPS_FILE, Clip)
            records: Iterator[Clip | Rejection] = chain(clips, rejections(data))
            prepared = {r.path: (r.source_sha256, r.mel_sha256) for r in records}
            differences = _changed_files(prepared, corpus, tasks, options.processes, report)
    except InputError as error:
        raise OutputError(error.message, "--force prepares it again") from error
    if differences:
        raise OutputError(
            f"{folder} was prepared otherwise: {'; '.join(differences)}",
            "--force prepares it again; -o names another folder",
        )
    return data.manifest


def _changed_files(
    known: dict[str, tuple[str | None, str | None]],
    corpus: Corpus,
    tasks: Sequence[ClipTask],
    threads: int,
    report: Callable[[PreparationProgress], None],
) -> list[str]:
    """Describe the files that changed, are new or are gone."""
    present = {file.path for file in corpus.files} | {absent.path for absent in corpus.absent}
    changed = []
    # Hashing releases the interpreter, so threads are enough.
    with ThreadPoolExecutor(threads) as pool:
        found = zip(tasks, pool.map(digests, tasks), strict=True)
        for done, (task, now) in enumerate(found, 1):
            path = task.file.path
            if path in known and known[path] != now:
                changed.append(path)
            report(PreparationProgress("comparing", done, len(tasks), path))
    kinds = {
        "changed": changed,
        "new": sorted(present - known.keys()),
        "gone": sorted(known.keys() - present),
    }
    return [_describe(kind, paths) for kind, paths in kinds.items() if paths]


def _describe(kind: str, paths: list[str]) -> str:
    more = ", ..." if len(paths) > _NAMED else ""
    files = "file is" if len(paths) == 1 else "files are"
    return f"{len(paths)} {files} {kind} ({', '.join(paths[:_NAMED])}{more})"
