"""How `mel`, `resynth` and `vocode` run and what they print.

They print a line or a JSON object per file, and a summary of several files or a preview.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hifigan_cli.cli.pipes import PIPE, open_pipes
from hifigan_cli.errors import UsageError
from hifigan_cli.synthesis.events import AudioWritten, FileProgress, MelWritten
from hifigan_cli.types import Notice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hifigan_cli.cli.console import Console
    from hifigan_cli.synthesis.events import Event, EventHandler
    from hifigan_cli.synthesis.jobs import JobResults
    from hifigan_cli.synthesis.pipeline import (
        SynthesisOptions,
        SynthesisPipeline,
        SynthesisPreview,
    )

Pipeline = TypeVar("Pipeline", bound="SynthesisPipeline")


class SynthesisView(ExitStack):
    """Prints the events of a run and keeps the progress display open until the end.

    Attributes:
        written: the files that were synthesized.
    """

    def __init__(self, console: Console, title: str = "synthesis") -> None:
        super().__init__()
        self.console = console
        self.written: list[AudioWritten] = []
        self._title = title
        self._advance: Callable[[int, str], None]

    def __call__(self, event: Event) -> None:
        """Print one event."""
        console = self.console
        match event:
            case Notice(message, warning=True):
                console.warn(message)
            case Notice(message):
                console.note(message)
            case FileProgress(done, total, None):
                self._advance = self.enter_context(console.progress(self._title, total))
            case FileProgress(done, _, Path(name=name)):
                self._advance(done, name)
            case MelWritten(source, target, n_mels, frames):
                console.result(
                    "mel",
                    f"{target}: {n_mels} mels, {frames} frames",
                    source=str(source),
                    target=str(target),
                    mels=n_mels,
                    frames=frames,
                )
            case AudioWritten():
                self._print_file(event)

    def finish(self, result: JobResults) -> None:
        """Print the summary of several files and their errors."""
        self.close()
        job_list = result.job_list
        if not job_list.is_multi_file:
            return
        failed = len(result.failures)
        prefix = "" if job_list.shard.covers_all else f"shard {job_list.shard}: "
        self.console.result(
            "summary",
            f"{prefix}{job_list.out}: {result.done} written, {result.skipped} skipped because they "
            f"exist{' (--force overwrites them)' if result.skipped else ''}, {failed} failed",
            shard=str(job_list.shard),
            written=result.done,
            skipped=result.skipped,
            failed=[
                {
                    "source": str(path),
                    "message": error.message,
                    "hint": error.hint,
                    "exit_code": error.exit_code,
                }
                for path, error in result.failures
            ],
        )
        for path, error in result.failures:
            message = error.message if str(path) in error.message else f"{path}: {error.message}"
            self.console.warn(f"{message}; {error.hint}" if error.hint else message)

    def show_preview(self, plan: SynthesisPreview) -> None:
        """Print the plan of a run."""
        for error in plan.unreadable:
            self.console.warn(error.message)
        total_s = sum(plan.lengths_s.values())
        self.console.result(
            "plan",
            f"{len(plan.lengths_s)} files to synthesize, {plan.existing} exist, "
            f"{len(plan.unreadable)} cannot be read; {total_s:.1f} s of speech, "
            f"about {plan.estimated_s:.0f} s of computation; nothing was written",
            to_synthesize=[
                {"source": str(job.source), "target": str(job.target)} for job in plan.lengths_s
            ],
            existing=plan.existing,
            unreadable=len(plan.unreadable),
            length_s=total_s,
            estimated_s=plan.estimated_s,
        )

    def _print_file(self, event: AudioWritten) -> None:
        self.written.append(event)
        self.console.result(
            "synthesized",
            f"{event.target}: {event.length_s:.2f} s at {event.sample_rate} Hz "
            f"in {event.elapsed_s:.2f} s ({event.times_real_time:.1f} times real time)",
            source=str(event.source),
            target=str(event.target),
            length_s=event.length_s,
            samples=event.n_samples,
            sample_rate=event.sample_rate,
            channels=event.channels,
            elapsed_s=event.elapsed_s,
            times_real_time=event.times_real_time,
        )


def run_synthesis(
    create_pipeline: Callable[[SynthesisOptions, EventHandler], Pipeline],
    options: SynthesisOptions,
    sources: Sequence[Path],
    out: Path,
    console: Console,
    *,
    dry_run: bool,
    write_report: Callable[[Pipeline, SynthesisView, JobResults], None] | None = None,
) -> None:
    """Run a synthesis pipeline over files or a pipe, and print its events.

    Raises:
        UsageError: an option cannot be used with pipes, or only with pipes.
        BatchError: some files failed; the others were written.
        HifiganError: a single file failed, or something that all files need.
    """
    with SynthesisView(console) as view:
        pipeline = create_pipeline(options, view)
        pipes = open_pipes(console, sources, out)
        if pipes and dry_run:
            raise UsageError("--dry-run cannot be used with a pipe (-)", "use files")
        if options.raw and out != PIPE:
            raise UsageError("--raw can only be used with stdout", "use -o -, or remove --raw")
        if pipes:
            pipeline.run_pipe(*pipes)
        elif dry_run:
            view.show_preview(pipeline.preview(sources, out))
        else:
            result = pipeline.run_files(sources, out)
            view.finish(result)
            if write_report:
                write_report(pipeline, view, result)
            if result.error:
                raise result.error
