"""Check whether a finished folder matches the corpus and the options."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING

from hifigan_cli.data.preparation.clip import ClipTask, source_digests
from hifigan_cli.data.preparation.options import PreparationProgress
from hifigan_cli.data.prepared import open_prepared, read_rejections
from hifigan_cli.data.records import CLIPS_FILE, Clip, Rejection, read_json_lines
from hifigan_cli.errors import InputError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from hifigan_cli.data.preparation.corpus import Corpus
    from hifigan_cli.data.preparation.options import PreparationOptions
    from hifigan_cli.data.records import Manifest
    from hifigan_cli.runtime.sharding import Shard

_MAX_LISTED = 3  # files in an error message


def check_unchanged(
    folder: Path,
    corpus: Corpus,
    tasks: Sequence[ClipTask],
    options: PreparationOptions,
    shard: Shard,
    report: Callable[[PreparationProgress], None],
) -> Manifest:
    """Compare a finished folder with the corpus, file by file and by digest.

    `tasks` are the tasks of `shard`; of the files in `folder`, too, only that shard is read.

    Raises:
        OutputError: the options or the files differ, or the folder is damaged.
    """
    try:
        data = open_prepared(folder)
        before, now = data.manifest.options, options.result_options()
        differences = [
            f"{key} was {before.get(key)}, now {now.get(key)}"
            for key in sorted(before.keys() | now.keys())
            if before.get(key) != now.get(key)
        ]
        if not differences:
            data.verify(shard)
            clips = read_json_lines(folder / CLIPS_FILE, Clip)
            records: Iterator[Clip | Rejection] = chain(clips, read_rejections(data))
            prepared = {r.path: (r.source_sha256, r.mel_sha256) for r in records}
            differences = _changed_files(prepared, corpus, tasks, options.processes, report)
    except InputError as error:
        raise OutputError(error.message, "prepare it again with --force") from error
    if differences:
        raise OutputError(
            f"{folder} was prepared with other options or files: {'; '.join(differences)}",
            "prepare it again with --force, or choose another folder with -o",
        )
    return data.manifest


def _changed_files(
    before: dict[str, tuple[str | None, str | None]],
    corpus: Corpus,
    tasks: Sequence[ClipTask],
    threads: int,
    report: Callable[[PreparationProgress], None],
) -> list[str]:
    """Describe the files that are changed, new or removed."""
    present = {file.path for file in corpus.files} | {missing.path for missing in corpus.missing}
    changed = []
    # Hashing releases the GIL, so threads are enough.
    with ThreadPoolExecutor(threads) as pool:
        digests = zip(tasks, pool.map(source_digests, tasks), strict=True)
        for done, (task, now) in enumerate(digests, 1):
            path = task.file.path
            if path in before and before[path] != now:
                changed.append(path)
            report(PreparationProgress("comparing", done, len(tasks), path))
    differences = {
        "changed": changed,
        "new": sorted(present - before.keys()),
        "removed": sorted(before.keys() - present),
    }
    return [_describe(state, paths) for state, paths in differences.items() if paths]


def _describe(state: str, paths: list[str]) -> str:
    more = ", ..." if len(paths) > _MAX_LISTED else ""
    files = "file is" if len(paths) == 1 else "files are"
    return f"{len(paths)} {files} {state} ({', '.join(paths[:_MAX_LISTED])}{more})"
