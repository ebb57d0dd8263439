"""Whether a finished folder is what the corpus and the options would give now."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from hifigan_cli.data.preparation.clip import Task, stamp
from hifigan_cli.data.preparation.options import SHARD_BYTES
from hifigan_cli.data.prepared import open_prepared, rejections
from hifigan_cli.data.records import CLIPS_FILE, Clip, read_lines
from hifigan_cli.errors import InputError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hifigan_cli.data.preparation.corpus import Corpus
    from hifigan_cli.data.preparation.options import Options
    from hifigan_cli.data.records import Manifest
    from hifigan_cli.runtime.sharding import Shard

_NAMED = 3  # how many files a message names
Known = dict[str, tuple[str | None, str | None]]


def check_same(
    folder: Path,
    corpus: Corpus,
    tasks: Sequence[Task],
    options: Options,
    part: Shard,
    report: Callable[[int, str], None],
) -> Manifest:
    """Compare a finished folder with the corpus, file by file and by digest.

    `tasks` are those of the part; of the folder's own files too only a part is read.

    Raises:
        OutputError: the options or the files differ, or the folder is damaged.
    """
    try:
        data = open_prepared(folder)
        differences = _options(data.manifest.options, options.lasting())
        if not differences:
            data.verify(part)
            known = _known(folder)
            known |= {r.path: (r.source_sha256, r.mel_sha256) for r in rejections(data)}
            differences = _files(known, corpus, tasks, options.processes, report)
    except InputError as error:
        raise OutputError(error.message, "--force prepares it anew") from error
    if differences:
        raise OutputError(
            f"{folder} was prepared otherwise: {'; '.join(differences)}",
            "--force prepares it anew; -o names another folder",
        )
    return data.manifest


def _options(known: dict[str, object], wanted: dict[str, object]) -> list[str]:
    # A folder from before there were shards is as good as one of the usual size.
    known = {"shard_bytes": SHARD_BYTES, **known}
    keys = sorted(known.keys() | wanted.keys())
    return [
        f"{key} was {known.get(key)}, now {wanted.get(key)}"
        for key in keys
        if known.get(key) != wanted.get(key)
    ]


def _known(folder: Path) -> Known:
    clips = read_lines(folder / CLIPS_FILE, Clip)
    return {clip.path: (clip.source_sha256, clip.mel_sha256) for clip in clips}


def _files(
    known: Known,
    corpus: Corpus,
    tasks: Sequence[Task],
    threads: int,
    report: Callable[[int, str], None],
) -> list[str]:
    present = {source.path for source in corpus.sources}
    present |= {absent.path for absent in corpus.absent}
    changed = []
    # Hashing releases the interpreter, so threads are enough.
    with ThreadPoolExecutor(threads) as pool:
        for done, (task, digests) in enumerate(
            zip(tasks, pool.map(_digests, tasks), strict=True), 1
        ):
            if task.path in known and known[task.path] != digests:
                changed.append(task.path)
            report(done, task.path)
    kinds = {
        "changed": changed,
        "new": sorted(present - known.keys()),
        "gone": sorted(known.keys() - present),
    }
    return [_named(kind, paths) for kind, paths in kinds.items() if paths]


def _digests(task: Task) -> tuple[str | None, str | None]:
    source = stamp(task.file)
    mel = stamp(task.mel_file) if task.mel_file else None
    return source.sha256 if source else None, mel.sha256 if mel else None


def _named(kind: str, paths: list[str]) -> str:
    more = ", ..." if len(paths) > _NAMED else ""
    files = "file is" if len(paths) == 1 else "files are"
    return f"{len(paths)} {files} {kind} ({', '.join(paths[:_NAMED])}{more})"
