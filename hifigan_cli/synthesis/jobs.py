"""One file, many files or a folder: which result goes where, and what happened to each.

A folder in gives a mirrored folder out. Results that exist are skipped and counted, so that a
stopped batch is continued by the same command; a bad file does not stop the others. Several
processes share a batch by taking every N-th file each.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from hifigan_cli.errors import DeviceError, HifiganError, InputError, OutputError, UsageError
from hifigan_cli.io.files import check_output, is_file, is_folder
from hifigan_cli.runtime.sharding import WHOLE, Shard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


@dataclass(frozen=True)
class Job:
    """One input file and the output file that it becomes."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Plan:
    """Jobs, whether they are a batch (several files, or a folder), and which part of it."""

    jobs: tuple[Job, ...]
    batch: bool
    part: Shard = WHOLE

    def share(self, part: Shard) -> Plan:
        """Keep a part of the jobs: every N-th file, so that long and short ones are mixed.

        A single file is not a batch, and can only be shared in so far as one process does it.
        """
        if part.whole:
            return self
        return Plan(tuple(part.of(self.jobs)), batch=True, part=part)


@dataclass
class Outcome:
    """What became of a batch: counts, and the error of each file that failed."""

    done: int = 0
    skipped: int = 0
    failures: list[tuple[Path, HifiganError]] = field(default_factory=list)


def plan(
    sources: Sequence[Path], out: Path, suffixes: frozenset[str], out_suffix: str = ".wav"
) -> Plan:
    """Pair every input with its output.

    A single file goes to `out`, or into it where `out` is a folder. Several files, or a folder (all
    files below it with one of `suffixes`), go into the folder `out`.

    Raises:
        InputError: a folder without such files.
        UsageError: a batch cannot go into one file, two inputs would make one output, or an output
            is its own input.
    """
    if len(sources) == 1 and not is_folder(sources[0]):
        into_folder = is_folder(out)
        target = out / (sources[0].stem + out_suffix) if into_folder else out
        return Plan((Job(sources[0], target),), batch=False)
    _check_folder_of_results(sources, out, suffixes, out_suffix)
    pairs: list[tuple[Path, Path]] = []
    for source in sources:
        if is_folder(source):
            pairs += [(path, path.relative_to(source)) for path in _walk(source, suffixes, out)]
        else:
            pairs.append((source, source.relative_to(source.parent)))
    return Plan(tuple(_name_targets(pairs, out, out_suffix)), batch=True)


def _check_folder_of_results(
    sources: Sequence[Path], out: Path, suffixes: frozenset[str], out_suffix: str
) -> None:
    is_a_name_of_a_file = out.suffix.lower() in {*suffixes, out_suffix}
    if is_file(out) or (is_a_name_of_a_file and not is_folder(out)):
        raise UsageError(f"{out} is a file; several results need a folder", "name a folder with -o")
    for source in sources:
        # Results beside their inputs would be inputs of the next run.
        if out_suffix in suffixes and is_folder(source) and source.resolve() == out.resolve():
            raise UsageError(f"{out} is both input and output", "name another folder with -o")


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


def run(
    todo: Plan,
    work: Callable[[Job], None],
    *,
    force: bool,
    report: Callable[[int, Job], None],
) -> Outcome:
    """Do every job; `report` is told how many are finished, and which was the last.

    A single job raises its error. In a batch, errors are collected; only what would fail for every
    file (the device) ends it.

    Raises:
        HifiganError: of a single job, or of the device.
    """
    if not todo.batch:
        (job,) = todo.jobs
        check_output(job.target, force, job.source)
        work(job)
        report(1, job)
        return Outcome(done=1)
    outcome = Outcome()
    for number, job in enumerate(todo.jobs, 1):
        if os.path.lexists(job.target) and not force:
            outcome.skipped += 1
        else:
            _attempt(job, work, outcome, force=force)
        report(number, job)
    return outcome


def _attempt(job: Job, work: Callable[[Job], None], outcome: Outcome, *, force: bool) -> None:
    try:
        check_output(job.target, force, job.source)
        work(job)
        outcome.done += 1
    except DeviceError:
        raise
    except (InputError, OutputError, UsageError) as error:
        outcome.failures.append((job.source, error))
