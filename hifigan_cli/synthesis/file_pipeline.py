"""The base class of all pipelines over files, folders and pipes.

`FilePipeline` contains everything that does not depend on the processing: it pairs inputs with
outputs, shards them between processes, schedules one file or many, and reports.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import IO, TYPE_CHECKING, ClassVar

from hifigan_cli.errors import UsageError
from hifigan_cli.io.files import check_output
from hifigan_cli.runtime.torchrun import wait_for_all
from hifigan_cli.synthesis.job_runner import Input, Result, Stages, run_jobs
from hifigan_cli.synthesis.jobs import Job, JobList, JobResults, plan_jobs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hifigan_cli.runtime.sharding import Shard
    from hifigan_cli.synthesis.events import EventHandler
    from hifigan_cli.types import FloatArray


class FilePipeline(Stages[Input, Result], ABC):
    """Inputs -> outputs, one for each; subclasses implement the stages in between."""

    suffixes: ClassVar[frozenset[str]]  # only these files of a folder are read
    out_suffix: ClassVar[str]

    def __init__(self, report: EventHandler, shard: Shard, *, force: bool) -> None:
        """Process this shard of the files; `force` overwrites existing results."""
        self.report, self._shard, self._force = report, shard, force

    @abstractmethod
    def open(self, source: Path | bytes, /) -> Input:
        """Open a file, or its bytes; may run ahead of time in another thread.

        Raises:
            InputError: the file cannot be used.
        """

    @abstractmethod
    def check_target(self, target: Path) -> None:
        """Check that an output of this name can be written.

        Raises:
            UsageError: it cannot.
        """

    @abstractmethod
    def write_stream(self, out: IO[bytes], item: Input, blocks: Iterator[FloatArray]) -> None:
        """Write a result to a pipe, block by block."""

    def open_stream(self, stream: IO[bytes]) -> Input:
        """Open an input that arrives through a pipe."""
        return self.open(stream.read())

    def prepare(self, jobs: Sequence[Job]) -> None:
        """Load everything that the jobs share, before the first of them."""

    def list_jobs(self, sources: Sequence[Path], out: Path) -> JobList:
        """Pair inputs with outputs, before any processing.

        Raises:
            InputError: a folder has no input files.
            UsageError: an output cannot have its name.
        """
        job_list = plan_jobs(sources, out, self.suffixes, self.out_suffix, self._shard, self._force)
        for job in job_list.jobs[:1]:
            self.check_target(job.target)
        return job_list

    def run_files(self, sources: Sequence[Path], out: Path) -> JobResults:
        """Process files, or all files of folders, into a file or a folder.

        A single file raises its error; the errors of several files are collected in the result.

        Raises:
            HifiganError: a single file failed, or something failed that every file needs.
        """
        job_list = self.list_jobs(sources, out)
        with wait_for_all(self._shard), job_list.lock():
            if job_list.is_multi_file and (jobs := job_list.pending()):
                self.prepare(jobs)
            return run_jobs(job_list, self, self.report)

    def run_pipe(self, source: Path | IO[bytes], out: Path | IO[bytes]) -> None:
        """Process an input, an output or both that are pipes; samples are written at once.

        Raises:
            HifiganError: the input cannot be used, or the output cannot be written.
        """
        if not self._shard.covers_all:
            raise UsageError("a pipe cannot be sharded", "run without --shard and torchrun")
        if isinstance(out, Path):
            self.check_target(out)
            check_output(out, self._force)
        item = self.open(source) if isinstance(source, Path) else self.open_stream(source)
        (blocks,) = self.synthesize([item])
        if isinstance(out, Path):
            self.report_written(self.write(Job(Path("-"), out), item, blocks))
        else:
            self.write_stream(out, item, blocks)
