"""How a command over files ends: a summary, the failures, and the exit code for them."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hifigan_cli.errors import BatchError
from hifigan_cli.io.files import check_folder, is_folder, make_folder, sweep
from hifigan_cli.io.locks import LOCK_FILE, locked, part_lock
from hifigan_cli.synthesis.jobs import run
from hifigan_cli.synthesis.overlap import Stages, run_overlapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hifigan_cli.cli.console import Console
    from hifigan_cli.synthesis.jobs import Job, Outcome, Plan


def run_reported(
    console: Console,
    title: str,
    todo: Plan,
    work: Callable[[Job], None] | Stages[Any, Any, Any],
    out: Path,
    *,
    force: bool,
) -> None:
    """Do every job of a plan with progress; for a batch, say what became of it.

    The stages of a batch run in threads of their own.

    Raises:
        BatchError: some files failed; the others were done.
        OutputError: the folder cannot be written, or another run is at work on it.
    """
    with _held(todo, out), console.progress(title, len(todo.jobs)) as advance:

        def report(done: int, job: Job) -> None:
            advance(done, job.source.name)

        if isinstance(work, Stages):
            outcome = run_overlapped(todo, work, force=force, report=report)
        else:
            outcome = run(todo, work, force=force, report=report)
    if todo.batch:
        _summarise(console, outcome, todo, out)


@contextmanager
def _held(todo: Plan, out: Path) -> Iterator[None]:
    """Hold the folder of a batch's results, or this part of it; what a killed run left goes."""
    if not todo.batch:
        yield
        return
    check_folder(out)
    ours = not is_folder(out)
    make_folder(out)
    try:
        with locked(out, LOCK_FILE if todo.part.whole else part_lock(todo.part)):
            sweep(job.target for job in todo.jobs)
            yield
    finally:
        if ours:
            with suppress(OSError):
                out.rmdir()  # where nothing could be made


def _summarise(console: Console, outcome: Outcome, todo: Plan, out: Path) -> None:
    failed = len(outcome.failures)
    part = "" if todo.part.whole else f"part {todo.part}: "
    console.result(
        "summary",
        f"{part}{out}: {outcome.done} made, {outcome.skipped} existed, {failed} failed",
        shard=str(todo.part),
        made=outcome.done,
        existed=outcome.skipped,
        failed=[
            {
                "source": str(path),
                "message": error.message,
                "hint": error.hint,
                "exit_code": error.exit_code,
            }
            for path, error in outcome.failures
        ],
    )
    if failed:
        for path, error in outcome.failures:
            message = error.message if str(path) in error.message else f"{path}: {error.message}"
            console.warn(f"{message}; {error.hint}" if error.hint else message)
        raise BatchError(
            f"{failed} of {len(todo.jobs)} files failed",
            "mend or remove them; the same command tries only those again",
        )
