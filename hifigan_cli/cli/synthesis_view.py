"""How synthesis is shown: one line or JSON object per file, a summary of a batch, a plan."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from hifigan_cli.synthesis.events import FileProgress, MelWritten, Note, Synthesized

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from hifigan_cli.cli.console import Console
    from hifigan_cli.synthesis.events import Event
    from hifigan_cli.synthesis.jobs import JobResults
    from hifigan_cli.synthesis.pipeline import SynthesisPreview


class SynthesisView:
    """Prints the events of a run.

    Attributes:
        written: the files that were synthesized.
    """

    def __init__(self, console: Console, title: str = "synthesis") -> None:
        self.console = console
        self.written: list[Synthesized] = []
        self._title = title
        self._bar = ExitStack()
        self._advance: Callable[[int, str], None]

    def __enter__(self) -> SynthesisView:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._bar.close()

    def __call__(self, event: Event) -> None:
        """Print one event."""
        console = self.console
        match event:
            case Note(text, warning=True):
                console.warn(text)
            case Note(text):
                console.note(text)
            case FileProgress(done, total, None):
                self._advance = self._bar.enter_context(console.progress(self._title, total))
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
            case Synthesized():
                self._synthesized(event)

    def finish(self, result: JobResults) -> None:
        """Print the summary of a batch.

        Raises:
            BatchError: some files failed; the others were done.
        """
        self._bar.close()
        batch = result.batch
        if not batch.many:
            return
        failed = len(result.failures)
        part = "" if batch.shard.whole else f"part {batch.shard}: "
        self.console.result(
            "summary",
            f"{part}{batch.out}: {result.done} made, {result.skipped} existed, {failed} failed",
            shard=str(batch.shard),
            made=result.done,
            existed=result.skipped,
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
        if result.error:
            raise result.error

    def show_preview(self, plan: SynthesisPreview) -> None:
        """Print what a run would do."""
        for error in plan.unreadable:
            self.console.warn(error.message)
        total_s = sum(plan.lengths_s.values())
        self.console.result(
            "plan",
            f"{len(plan.lengths_s)} files to make, {plan.existing} exist, "
            f"{len(plan.unreadable)} cannot be read; {total_s:.1f} s of speech, "
            f"about {plan.estimate_s:.0f} s of work; nothing was written",
            to_make=[
                {"source": str(job.source), "target": str(job.target)} for job in plan.lengths_s
            ],
            existing=plan.existing,
            unreadable=len(plan.unreadable),
            length_s=total_s,
            estimate_s=plan.estimate_s,
        )

    def _synthesized(self, event: Synthesized) -> None:
        self.written.append(event)
        self.console.result(
            "synthesised",
            f"{event.target}: {event.length_s:.2f} s at {event.rate_hz} Hz "
            f"in {event.elapsed_s:.2f} s ({event.real_time_factor:.1f} x real time)",
            source=str(event.source),
            target=str(event.target),
            length_s=event.length_s,
            samples=event.samples,
            rate_hz=event.rate_hz,
            channels=event.channels,
            elapsed_s=event.elapsed_s,
            real_time_factor=event.real_time_factor,
        )
