"""Files, folders and pipes: which are read, in which order, and where the results go.

`FilePipeline` owns what is the same whatever is done to a file: it pairs inputs with outputs,
shares them between processes, schedules one file or many, and reports.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import IO, TYPE_CHECKING, ClassVar

from hifigan_cli.errors import UsageError
from hifigan_cli.io.files import check_output
from hifigan_cli.runtime.torchrun import wait_for_all
from hifigan_cli.synthesis.jobs import Job, JobList, JobResults, plan_jobs
from hifigan_cli.synthesis.overlap import Opened, Result, Stages, run_overlapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hifigan_cli.runtime.sharding import Shard
    from hifigan_cli.synthesis.events import Report
    from hifigan_cli.types import FloatArray


class FilePipeline(Stages[Opened, Result], ABC):
    """Inputs -> outputs, one for each; its kinds are the stages in between."""

    suffixes: ClassVar[frozenset[str]]  # of the files that are taken from a folder
    out_suffix: ClassVar[str]

    def __init__(self, report: Report, shard: Shard, *, force: bool) -> None:
        """Report to `report`; do this shard of the files; with `force` overwrite results."""
        self.report, self._shard, self._force = report, shard, force

    @abstractmethod
    def open(self, source: Path | bytes, /) -> Opened:
        """Open a file, or the bytes of one; may run in another thread, ahead of time.

        Raises:
            InputError: it cannot be used.
        """

    @abstractmethod
    def check_target(self, target: Path) -> None:
        """Check that the name of an output is one that can be written.

        Raises:
            UsageError: it is not.
        """

    @abstractmethod
    def write_stream(self, out: IO[bytes], item: Opened, blocks: Iterator[FloatArray]) -> None:
        """Write a result to a pipe, as it comes."""

    def open_stream(self, stream: IO[bytes]) -> Opened:
        """Open what arrives through a pipe."""
        return self.open(stream.read())

    def prepare(self, jobs: Sequence[Job]) -> None:
        """Load what every file needs, before the first of these jobs."""

    def plan(self, sources: Sequence[Path], out: Path) -> JobList:
        """Pair inputs with outputs, before any computing.

        Raises:
            InputError: a folder without files to work on.
            UsageError: the outputs cannot have these names.
        """
        batch = plan_jobs(sources, out, self.suffixes, self.out_suffix, self._shard, self._force)
        for job in batch.jobs[:1]:
            self.check_target(job.target)
        return batch

    def run_files(self, sources: Sequence[Path], out: Path) -> JobResults:
        """Do files, or all files of folders, into a file or a folder.

        A single file raises its error; of several, errors are collected in the result.

        Raises:
            HifiganError: of a single file, or of what every file needs.
        """
        batch = self.plan(sources, out)
        with wait_for_all(self._shard), batch.hold():
            if batch.many and (jobs := batch.waiting()):
                self.prepare(jobs)
            return run_overlapped(batch, self, self.report)

    def run_pipe(self, source: Path | IO[bytes], out: Path | IO[bytes]) -> None:
        """Do a pipe at one end or both; output goes out as soon as it is determined.

        Raises:
            HifiganError: the input cannot be used, or the output cannot be written.
        """
        if not self._shard.whole:
            raise UsageError("a pipe cannot be shared", "leave --shard and torchrun out")
        if isinstance(out, Path):
            self.check_target(out)
            check_output(out, self._force)
        item = self.open(source) if isinstance(source, Path) else self.open_stream(source)
        (blocks,) = self.synthesize([item])
        if isinstance(out, Path):
            self.written(self.write(Job(Path("-"), out), item, blocks))
        else:
            self.write_stream(out, item, blocks)
