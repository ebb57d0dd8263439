"""Where a run begins: at random weights, at another training's networks, or where it stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from hifigan_cli.config.resolve import to_toml
from hifigan_cli.io.files import write_bytes
from hifigan_cli.training.checkpoint import read_checkpoint, restore
from hifigan_cli.training.events import Noted
from hifigan_cli.training.run_folder import newest_checkpoint
from hifigan_cli.training.state import TrainingState

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from hifigan_cli.runtime.distributed import DistributedContext
    from hifigan_cli.training.checkpoint import ResumePoint
    from hifigan_cli.training.events import EventCallback
    from hifigan_cli.training.run_folder import RunFolder

StateT = TypeVar("StateT", bound=TrainingState)


def begin(
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
    """Return the state that the next step starts from, the same in every process.

    With `fresh` an old run in the folder is set aside. A run that has checkpoints goes on from the
    newest intact one. A new one starts from the networks that `build` makes, or from others: `init`
    reads them, and returns a function that loads them and describes them in a sentence. `stack`
    holds the folder for the main process.

    Raises:
        ModelError: no checkpoint is intact, or it is of another configuration; or nothing that
            `init` reads fits.
        InputError: the data are not those that the run began with.
        OutputError: the folder is in use or cannot be written.
    """
    resuming = bool(run.saved()) and not fresh
    load = init() if init and not resuming else None  # refused before anything is touched
    if fresh:
        context.any(0)  # all have read `init`, which may lie in the run that is set aside
    if context.main:  # the others read there and never write
        if fresh and (moved := run.set_aside()):
            report(Noted(f"the run that stood there is now {moved}"))
        stack.enter_context(run.held())

    state = build()
    checkpoint = _agree_on_checkpoint(state, run, context, report)
    if checkpoint is not None:
        checkpoint.check_same_run(state.config, data_digest, state.free_on_resume)
        restore(state, checkpoint)
    elif load is not None:
        report(Noted(load(state)))

    if context.main:
        run.tidy(checkpoint)
        write_bytes(run.config, to_toml(state.config).encode())
    return state


def roll_back(
    state: TrainingState, run: RunFolder, context: DistributedContext, report: EventCallback
) -> int | None:
    """Give a state the weights and moments of the newest checkpoint; return its step.

    The state's own step and best validation stay. Without a checkpoint nothing changes, and the
    answer is None.

    Raises:
        ModelError: no checkpoint is intact.
    """
    checkpoint = _agree_on_checkpoint(state, run, context, report)
    if checkpoint is None:
        return None
    step, best = state.step, state.best
    restore(state, checkpoint)
    state.step, state.best = step, best
    state.rolled_back(checkpoint.step)
    return checkpoint.step


def _agree_on_checkpoint(
    state: TrainingState, run: RunFolder, context: DistributedContext, report: EventCallback
) -> ResumePoint | None:
    """Let the main process choose, so that all go on from the same one."""

    def skipped(message: str) -> None:
        report(Noted(f"{message}; going back to the one before it", warning=True))

    chosen = newest_checkpoint(run, skipped, state.kind) if context.main else None
    path = context.from_main(chosen.path if chosen else None)
    if path is None or context.main:
        return chosen
    return read_checkpoint(path, state.kind)
