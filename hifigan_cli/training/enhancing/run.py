"""The loop: render the pairs once, then batch, step, and now and then a report and a checkpoint.

A batch is a function of seed and step, the learning rates of the step, all else is in the
checkpoint; so a killed run goes on as if nothing had happened.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hifigan_cli.audio.files import is_file, make_folder
from hifigan_cli.data.degrading.pool import Sources, open_pool
from hifigan_cli.data.locking import locked
from hifigan_cli.errors import InterruptedRunError
from hifigan_cli.training.enhancing.batches import enhancer_batch
from hifigan_cli.training.enhancing.checkpoint import CHECKPOINT_FILE, MODEL_FILE, resume, save
from hifigan_cli.training.enhancing.state import EnhancerState
from hifigan_cli.training.enhancing.step import enhancer_step
from hifigan_cli.training.enhancing.validation import validate_enhancer
from hifigan_cli.training.records.metrics import Metrics
from hifigan_cli.training.runtime.signals import stop_signals

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch

    from hifigan_cli.data.degrading.pool import Mels
    from hifigan_cli.training.runtime.signals import Stop

    Report = Callable[[str, int, dict[str, float]], None]

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

    `report` takes an event (`rendering`, `started`, `train`, `validation`, `saved`), the step, and
    its figures.

    Raises:
        InputError: speech or sounds cannot be read.
        OutputError: the run's folder is in use or cannot be written.
        ModelError: a checkpoint is damaged or of another recipe.
        DivergedError: a gradient is not finite.
        InterruptedRunError: a signal came; the step was finished and saved.
    """
    make_folder(plan.out / PAIRS_FOLDER)
    with locked(plan.out), stop_signals() as stop:
        if plan.fresh:
            for name in (CHECKPOINT_FILE, MODEL_FILE, METRICS_FILE):
                (plan.out / name).unlink(missing_ok=True)
        pairs, heldout = open_pool(
            plan.sources,
            plan.out / PAIRS_FOLDER,
            plan.workers,
            lambda done, of: report("rendering", done, {"of": of}),
        )
        state = EnhancerState(plan.sources.run, plan.sources.mel, plan.device)
        data = plan.sources.digest()
        if is_file(plan.out / CHECKPOINT_FILE):
            resume(plan.out, state, data)
        report("started", state.step, {"steps": plan.sources.run.training.steps})
        metrics = Metrics(plan.out / METRICS_FILE, state.step, lambda _event: None)
        with closing(metrics):
            _loop(state, pairs, stop, _Books(plan.out, data, heldout, metrics, report))
    return plan.out / MODEL_FILE


def _loop(state: EnhancerState, pairs: Mels, stop: Stop, books: _Books) -> None:
    training = state.run.training
    while state.step < training.steps:
        state.begin_phase()
        rate = state.set_rates()
        noisy, clean = enhancer_batch(pairs, training, state.step, state.device)
        books.add(enhancer_step(state, noisy, clean))
        step, last = state.step, state.step == training.steps
        if step % training.log_every == 0:
            books.log(step, rate)
        if step % training.validate_every == 0 or last:
            books.validate(state)
        if step % training.checkpoint_every == 0 or last or stop.requested():
            books.save(state)
        if stop.requested():
            raise InterruptedRunError(
                f"stopped after step {step}, which is saved",
                stop.signal_number,
                "the same command continues",
            )


class _Books:
    """What is told and kept between steps."""

    def __init__(
        self, out: Path, data: str, heldout: Mels, metrics: Metrics, report: Report
    ) -> None:
        self._out, self._data, self._heldout = out, data, heldout
        self._metrics, self._report = metrics, report
        self._sums: dict[str, torch.Tensor] = {}
        self._steps, self._since = 0, time.monotonic()

    def add(self, losses: dict[str, torch.Tensor]) -> None:
        """Count a step's losses, without waiting for the device."""
        self._steps += 1
        for name, value in losses.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def log(self, step: int, rate: float) -> None:
        """Tell the means since the last time, and the speed."""
        figures = {name: float(value) / self._steps for name, value in self._sums.items()}
        figures["learning_rate"] = rate
        figures["steps_per_s"] = self._steps / (time.monotonic() - self._since)
        self._tell("train", step, figures)
        self._sums, self._steps, self._since = {}, 0, time.monotonic()

    def validate(self, state: EnhancerState) -> None:
        """Tell how far from clean the result is."""
        found = validate_enhancer(state.listener, self._heldout, state.device)
        self._tell("validation", state.step, found)

    def save(self, state: EnhancerState) -> None:
        """Write model and checkpoint."""
        save(self._out, state, self._data)
        self._report("saved", state.step, {})

    def _tell(self, event: str, step: int, figures: dict[str, float]) -> None:
        self._metrics.scalars(event, step, figures)
        self._report(event, step, figures)
