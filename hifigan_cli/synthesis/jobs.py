"""One file, many files or a folder: which result goes where, and the folder that they go into.

A folder in gives a mirrored folder out. Results that exist are skipped and counted, so that a
stopped batch is continued by the same command; a bad file does not stop the others. Several
processes share a batch by taking every N-th file each.
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from hifigan_cli.errors import BatchError, HifiganError, InputError, OutputError, UsageError
from hifigan_cli.io.files import is_file, is_folder
from hifigan_cli.io.locks import hold_folder
from hifigan_cli.runtime.sharding import WHOLE, Shard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

# What concerns one file of a batch; anything else would fail for every file, and ends the batch.
ERRORS_OF_ONE_FILE = (InputError, OutputError, UsageError)


@dataclass(frozen=True)
class Job:
    """One input file and the output file that it becomes."""

    source: Path
    target: Path


@dataclass(frozen=True)
class JobList:
    """Jobs that are done in one run.

    Attributes:
        jobs: in order.
        out: where the results go: the one file, or the folder.
        many: several files or a folder were named, whose errors are collected.
        shard: which part of the files these are.
        force: results that exist are overwritten.
    """

    jobs: tuple[Job, ...]
    out: Path
    many: bool
    shard: Shard = WHOLE
    force: bool = False

    def skips(self, job: Job) -> bool:
        """Tell whether a job of several is left out because its result exists."""
        return not self.force and os.path.lexists(job.target)

    def waiting(self) -> list[Job]:
        """List the jobs that are not left out."""
        return [job for job in self.jobs if not self.skips(job)]

    def hold(self) -> AbstractContextManager[None]:
        """Lock the folder of the results, or this shard of it; remove what a killed run left.

        Raises:
            OutputError: the folder cannot be written, or another run is using it.
        """
        if not self.many:
            return nullcontext()
        return hold_folder(self.out, self.shard, [job.target for job in self.jobs])


@dataclass
class JobResults:
    """How a batch ended: counts, and the error of each file that failed."""

    batch: JobList
    done: int = 0
    skipped: int = 0
    failures: list[tuple[Path, HifiganError]] = field(default_factory=list)

    @property
    def error(self) -> BatchError | None:
        """The error of the whole batch, if a file failed."""
        if not self.failures:
            return None
        return BatchError(
            f"{len(self.failures)} of {len(self.batch.jobs)} files failed",
            "mend or remove them; the same command tries only those again",
        )


def plan_jobs(
    sources: Sequence[Path],
    out: Path,
    suffixes: frozenset[str],
    out_suffix: str = ".wav",
    shard: Shard = WHOLE,
    force: bool = False,
) -> JobList:
    """Pair every input with its output; keep this shard of the pairs.

    A single file goes to `out`, or into it where `out` is a folder. Several files, or a folder (all
    files below it with one of `suffixes`), go into the folder `out`.

    Raises:
        InputError: a folder without such files.
        UsageError: a batch cannot go into one file, two inputs would make one output, or an output
            is its own input.
    """
    folders = {source for source in sources if is_folder(source)}
    into_folder, into_file = is_folder(out), is_file(out)
    if len(sources) == 1 and not folders:
        target = out / (sources[0].stem + out_suffix) if into_folder else out
        jobs = [Job(sources[0], target)]
        if shard.whole:
            return JobList(tuple(jobs), target, many=False, force=force)
        return JobList(tuple(shard.of(jobs)), target.parent, many=True, shard=shard, force=force)
    names_a_file = out.suffix.lower() in {*suffixes, out_suffix}
    if into_file or (names_a_file and not into_folder):
        raise UsageError(f"{out} is a file; several results need a folder", "name a folder with -o")
    pairs: list[tuple[Path, Path]] = []
    for source in sources:
        if source not in folders:
            pairs.append((source, source.relative_to(source.parent)))
            continue
        # Results beside their inputs would be inputs of the next run.
        if out_suffix in suffixes and source.resolve() == out.resolve():
            raise UsageError(f"{out} is both input and output", "name another folder with -o")
        pairs += [(path, path.relative_to(source)) for path in _walk(source, suffixes, out)]
    jobs = shard.of(list(_name_targets(pairs, out, out_suffix)))
    return JobList(tuple(jobs), out, many=True, shard=shard, force=force)


def _unreadable(error: OSError) -> NoReturn:
    raise InputError(f"{error.filename}: {error.strerror}") from error


def _walk(folder: Path, suffixes: frozenset[str], out: Path) -> list[Path]:
    """List the files below a folder in order, without those below `out`; links are not followed."""
    found = []
    skipped = out.resolve()
    for here, names, files in os.walk(folder, onerror=_unreadable):
        names[:] = [name for name in names if Path(here, name).resolve() != skipped]
        paths = (Path(here, name) for name in files)
        found += [path for path in paths if path.suffix.lower() in suffixes]
    if not found:
        raise InputError(
            f"{folder} has no files to work on", f"looked for {' '.join(sorted(suffixes))}"
        )
    return sorted(found)


def _name_targets(pairs: Sequence[tuple[Path, Path]], out: Path, out_suffix: str) -> Iterator[Job]:
    """Give each result the name of its input; a.wav beside a.flac keep their extensions in it."""
    sharing = Counter(relative.with_suffix("") for _, relative in pairs)
    taken: dict[Path, Path] = {}
    for source, relative in pairs:
        stem = relative.with_suffix("")
        name = stem if sharing[stem] == 1 else relative
        target = out / name.with_name(name.name + out_suffix)
        if target in taken:
            raise UsageError(
                f"{source} and {taken[target]} would both become {target}",
                "give them different names, or run them into different folders",
            )
        if _is_same(source, target):  # as one that exists it would be passed over, as if made
            raise UsageError(f"{target} is both input and output", "name another folder with -o")
        taken[target] = source
        yield Job(source, target)


def _is_same(source: Path, target: Path) -> bool:
    try:
        return os.path.samefile(source, target)  # noqa: PTH121 - neither need be there
    except OSError:
        return False
