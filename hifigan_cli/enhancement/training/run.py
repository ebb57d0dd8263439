"""The loop: render the pairs once, then batch, step, and now and then a report and a checkpoint.

A batch is a function of seed and step, the learning rates of the step, all else is in the
checkpoint; so a killed run goes on as if nothing had happened.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from hifigan_cli.enhancement.augmentation.pairs_file import Sources, open_pairs
from hifigan_cli.enhancement.training.batches import enhancer_batch
from hifigan_cli.enhancement.training.bookkeeping import EnhancerBooks
from hifigan_cli.enhancement.training.checkpoint import CHECKPOINT_FILE, MODEL_FILE, resume
from hifigan_cli.enhancement.training.state import EnhancerState
from hifigan_cli.enhancement.training.step import enhancer_step
from hifigan_cli.errors import InterruptedRunError
from hifigan_cli.io.files import is_file, make_folder
from hifigan_cli.io.locks import locked
from hifigan_cli.runtime.signals import stop_signals
from hifigan_cli.training.records.metrics import Metrics
from hifigan_cli.training.runtime.guard import Guard

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from hifigan_cli.enhancement.augmentation.pairs_file import Pairs
    from hifigan_cli.enhancement.training.bookkeeping import Report
    from hifigan_cli.runtime.signals import Stop

PAIRS_FOLDER, METRICS_FILE = "pairs", "metrics.jsonl"


@dataclass(frozen=True)
class EnhancerPlan:
    """What `train_enhancer` is to do.

    Attributes:
        sources: speech, noises, rooms, the mel convention and the recipe.
        out: the run's folder.
        device: where to train.
        workers: processes that render pairs.
        fresh: start anew where a run stands.
    """

    sources: Sources
    out: Path
    device: torch.device
    workers: int
    fresh: bool = False


def train_enhancer(plan: EnhancerPlan, report: Report) -> Path:
    """Start the plan's run, or continue it, up to its last step; return the model's file.

    `report` takes an event (`rendering`, `started`, `train`, `validation`, `left_out`,
    `rolled_back`, `saved`), the step, and its figures.

    Raises:
        InputError: speech or sounds cannot be read.
        UsageError: the speech is of another rate than the mel.
        OutputError: the run's folder is in use or cannot be written.
        ModelError: a checkpoint is damaged or of another recipe.
        DivergedError: gradients were not finite for long, again after going back.
        InterruptedRunError: a signal came; the step was finished and saved.
    """
    data = plan.sources.digest()  # what does not fit is refused before anything is made
    make_folder(plan.out / PAIRS_FOLDER)
    with locked(plan.out), stop_signals() as stop:
        if plan.fresh:
            for name in (CHECKPOINT_FILE, MODEL_FILE, METRICS_FILE):
                (plan.out / name).unlink(missing_ok=True)
        pairs, heldout = open_pairs(
            plan.sources,
            plan.out / PAIRS_FOLDER,
            plan.workers,
            partial(_rendered, report, stop),
        )
        state = EnhancerState(plan.sources.run, plan.sources.mel, plan.device)
        if is_file(plan.out / CHECKPOINT_FILE):
            resume(plan.out, state, data)
        report("started", state.step, {"steps": plan.sources.run.training.steps})
        metrics = Metrics(plan.out / METRICS_FILE, state.step, lambda _event: None)
        books = EnhancerBooks(plan.out, data, heldout, metrics, report, Guard(plan.device))
        with closing(metrics):
            _loop(state, pairs, stop, books)
    return plan.out / MODEL_FILE


def _rendered(report: Report, stop: Stop, done: int, of: int) -> None:
    """Tell how many pairs are rendered, and heed a signal: nothing of them is worth saving."""
    report("rendering", done, {"of": of})
    if stop.requested():
        raise InterruptedRunError(
            "stopped while pairs were rendered", stop.signal_number, "the same command starts anew"
        )


def _loop(state: EnhancerState, pairs: Pairs, stop: Stop, books: EnhancerBooks) -> None:
    training = state.run.training
    while state.step < training.steps:
        state.begin_phase()
        rate = state.set_rates()
        noisy, clean = enhancer_batch(pairs, training, state.step, state.device)
        books.add(enhancer_step(state, noisy, clean, books.guard))
        step, last = state.step, state.step == training.steps
        if step % training.log_every == 0 or last:
            books.log(state, rate)
        if step % training.validate_every == 0 or last:
            books.validate(state)
        stopping = stop.requested()
        if step % training.checkpoint_every == 0 or last or stopping:
            books.save(state, must=last or stopping)
        if stopping:
            raise InterruptedRunError(
                f"stopped after step {step}, which is saved",
                stop.signal_number,
                "the same command continues",
            )
