"""Start a run from random weights or another run's networks, or resume it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from hifigan_cli.config.files import to_toml
from hifigan_cli.io.files import write_bytes
from hifigan_cli.training.checkpoint import read_checkpoint, restore
from hifigan_cli.training.run_folder import newest_checkpoint
from hifigan_cli.training.state import TrainingState
from hifigan_cli.types import Notice

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from hifigan_cli.runtime.distributed import DistributedContext
    from hifigan_cli.training.checkpoint import Checkpoint
    from hifigan_cli.training.events import EventCallback
    from hifigan_cli.training.run_folder import RunFolder

StateT = TypeVar("StateT", bound=TrainingState)


def start_or_resume(
    run: RunFolder,
    build: Callable[[], StateT],
    data_digest: str,
    context: DistributedContext,
    report: EventCallback,
    stack: ExitStack,
    *,
    init: Callable[[], Callable[[StateT], str]] | None = None,
    fresh: bool = False,
) -> StateT:
    """Return the state for the next step, the same in every process.

    With `fresh` an existing run in the folder is renamed. A run with checkpoints resumes from the
    newest intact one. A new run starts from the networks of `build`, or loads others: `init` reads
    them and returns a function that loads them into a state and returns a message. `stack` keeps
    the folder locked for the main process.

    Raises:
        ModelError: no checkpoint is intact, or the configuration or `init` does not match.
        InputError: the data differ from those of the run.
        OutputError: the folder is in use or cannot be written.
    """
    resuming = bool(run.list_checkpoints()) and not fresh
    load = init() if init and not resuming else None  # may fail, so before any file is changed
    if fresh:
        context.max(0)  # wait until all have read `init`, which may lie in the run to rename
    if context.is_main:  # the other processes only read
        if fresh and (moved := run.set_aside()):
            report(Notice(f"renamed the existing run to {moved}"))
        stack.enter_context(run.lock())

    state = build()
    checkpoint = _choose_checkpoint(state, run, context, report)
    if checkpoint is not None:
        checkpoint.check_same_run(state.config, data_digest, state.changeable_on_resume)
        restore(state, checkpoint)
    elif load is not None:
        report(Notice(load(state)))

    if context.is_main:
        run.clean_up(checkpoint)
        write_bytes(run.config, to_toml(state.config).encode())
    return state


def roll_back(
    state: TrainingState, run: RunFolder, context: DistributedContext, report: EventCallback
) -> int | None:
    """Load the weights and moments of the newest checkpoint into a state; return its step.

    The state keeps its step and best validation. Without a checkpoint nothing changes, and the
    result is None.

    Raises:
        ModelError: no checkpoint is intact.
    """
    checkpoint = _choose_checkpoint(state, run, context, report)
    if checkpoint is None:
        return None
    step, best = state.step, state.best
    restore(state, checkpoint)
    state.step, state.best = step, best
    state.on_rollback(checkpoint.step)
    return checkpoint.step


def _choose_checkpoint(
    state: TrainingState, run: RunFolder, context: DistributedContext, report: EventCallback
) -> Checkpoint | None:
    """Let the main process choose, so that all processes resume from the same checkpoint."""

    def report_damaged(message: str) -> None:
        report(Notice(f"{message}; trying the previous checkpoint", warning=True))

    chosen = newest_checkpoint(run, report_damaged, state.kind) if context.is_main else None
    path = context.broadcast(chosen.path if chosen else None)
    if path is None or context.is_main:
        return chosen
    return read_checkpoint(path, state.kind)
