"""Pair input files with output files, for one file, several files or a folder.

The output folder mirrors the input folder. Existing results are skipped and counted, so the same
command continues a stopped run. A bad file does not stop the others. When several processes share
the files, each takes every N-th one.
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
from hifigan_cli.io.locks import lock_output_folder
from hifigan_cli.runtime.sharding import UNSHARDED, Shard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

# Errors of one of several files. Any other error would fail for every file and ends the run.
PER_FILE_ERRORS = (InputError, OutputError, UsageError)


@dataclass(frozen=True)
class Job:
    """One input file and its output file."""

    source: Path
    target: Path


@dataclass(frozen=True)
class JobList:
    """The jobs of one run.

    Attributes:
        jobs: in order.
        out: the output file, or the output folder of several files.
        is_multi_file: whether the inputs are several files or a folder; errors are then collected.
        shard: the part of the files that these are.
        force: overwrite existing results.
    """

    jobs: tuple[Job, ...]
    out: Path
    is_multi_file: bool
    shard: Shard = UNSHARDED
    force: bool = False

    def is_skipped(self, job: Job) -> bool:
        """Return whether a run of several files skips a job because its result exists."""
        return not self.force and os.path.lexists(job.target)

    def pending(self) -> list[Job]:
        """List the jobs that are not skipped."""
        return [job for job in self.jobs if not self.is_skipped(job)]

    def lock(self) -> AbstractContextManager[None]:
        """Lock the output folder, or this shard of it; remove a killed run's temporary files.

        Raises:
            OutputError: the folder cannot be written, or another run is using it.
        """
        if not self.is_multi_file:
            return nullcontext()
        return lock_output_folder(self.out, self.shard, [job.target for job in self.jobs])


@dataclass
class JobResults:
    """The results of a run: counts, and the error of each failed file."""

    job_list: JobList
    done: int = 0
    skipped: int = 0
    failures: list[tuple[Path, HifiganError]] = field(default_factory=list)

    @property
    def error(self) -> BatchError | None:
        """The error of the run, if a file failed."""
        if not self.failures:
            return None
        return BatchError(
            f"{len(self.failures)} of {len(self.job_list.jobs)} files failed",
            "fix or remove them; the same command then retries only those",
        )


def plan_jobs(
    sources: Sequence[Path],
    out: Path,
    suffixes: frozenset[str],
    out_suffix: str = ".wav",
    shard: Shard = UNSHARDED,
    force: bool = False,
) -> JobList:
    """Pair every input with its output; keep this shard of the pairs.

    A single file is written to `out`, or into `out` if that is a folder. Several files, or a folder
    (all files below it with one of `suffixes`), are written into the folder `out`.

    Raises:
        InputError: a folder has no matching files.
        UsageError: several files have one file as their output, two inputs have the same output,
            or an output is its own input.
    """
    folders = {source for source in sources if is_folder(source)}
    out_is_folder, out_is_file = is_folder(out), is_file(out)
    if len(sources) == 1 and not folders:
        target = out / (sources[0].stem + out_suffix) if out_is_folder else out
        jobs = [Job(sources[0], target)]
        if shard.covers_all:
            return JobList(tuple(jobs), target, is_multi_file=False, force=force)
        jobs = shard.select(jobs)
        return JobList(tuple(jobs), target.parent, is_multi_file=True, shard=shard, force=force)
    looks_like_file = out.suffix.lower() in {*suffixes, out_suffix}
    if out_is_file or (looks_like_file and not out_is_folder):
        raise UsageError(f"{out} is a file; several results need a folder", "name a folder with -o")
    pairs: list[tuple[Path, Path]] = []
    for source in sources:
        if source not in folders:
            pairs.append((source, source.relative_to(source.parent)))
            continue
        # Results next to their inputs would be inputs of the next run.
        if out_suffix in suffixes and source.resolve() == out.resolve():
            raise UsageError(f"{out} is both input and output", "name another folder with -o")
        pairs += [(path, path.relative_to(source)) for path in _walk(source, suffixes, out)]
    jobs = shard.select(list(_name_targets(pairs, out, out_suffix)))
    return JobList(tuple(jobs), out, is_multi_file=True, shard=shard, force=force)


def _raise_unreadable(error: OSError) -> NoReturn:
    raise InputError(f"{error.filename}: {error.strerror}") from error


def _walk(folder: Path, suffixes: frozenset[str], out: Path) -> list[Path]:
    """List the files below a folder, sorted, except those below `out`; links are not followed."""
    found = []
    excluded = out.resolve()
    for parent, folders, files in os.walk(folder, onerror=_raise_unreadable):
        folders[:] = [name for name in folders if Path(parent, name).resolve() != excluded]
        paths = (Path(parent, name) for name in files)
        found += [path for path in paths if path.suffix.lower() in suffixes]
    if not found:
        raise InputError(
            f"{folder} has no input files", f"the accepted types are {' '.join(sorted(suffixes))}"
        )
    return sorted(found)


def _name_targets(pairs: Sequence[tuple[Path, Path]], out: Path, out_suffix: str) -> Iterator[Job]:
    """Name each result after its input; a.wav and a.flac in one folder keep their extensions."""
    stem_counts = Counter(relative.with_suffix("") for _, relative in pairs)
    sources: dict[Path, Path] = {}
    for source, relative in pairs:
        stem = relative.with_suffix("")
        name = stem if stem_counts[stem] == 1 else relative
        target = out / name.with_name(name.name + out_suffix)
        if target in sources:
            raise UsageError(
                f"{source} and {sources[target]} have the same output {target}",
                "rename one of them, or write them into different folders",
            )
        if _is_same(source, target):  # it exists, so it would be skipped as a finished result
            raise UsageError(f"{target} is both input and output", "name another folder with -o")
        sources[target] = source
        yield Job(source, target)


def _is_same(source: Path, target: Path) -> bool:
    try:
        return os.path.samefile(source, target)  # noqa: PTH121 - either may be missing
    except OSError:
        return False
