"""The trainer: batch, step, and at intervals a report, a validation, a checkpoint.

It is the same for every network. A `TrainingTask` brings state, batches, step and validation.
A batch is a function of seed and step, the learning rate of the step, and all else is in the
checkpoint. So the loop can be entered at any step, and goes on as if it had never been left.

All processes validate and log at the same steps, since the means are taken over all; only the main
one reports and writes.
"""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from hifigan_cli.errors import DivergedError, InterruptedRunError, OutputError
from hifigan_cli.training.checkpoint import write_checkpoint
from hifigan_cli.training.events import Finished, Logged, Noted, Saved, Validated
from hifigan_cli.training.meter import Meter
from hifigan_cli.training.nonfinite_guard import PATIENCE, NonfiniteGuard
from hifigan_cli.training.progress import forecast, stand
from hifigan_cli.training.start import roll_back
from hifigan_cli.training.state import Best

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from hifigan_cli.runtime.distributed import DistributedContext
    from hifigan_cli.runtime.signals import Stop
    from hifigan_cli.training.events import EventCallback, Started
    from hifigan_cli.training.health_checks import HealthChecks
    from hifigan_cli.training.loggers import Logger
    from hifigan_cli.training.progress import OfficialTraining
    from hifigan_cli.training.run_folder import RunFolder
    from hifigan_cli.training.state import TrainingState
    from hifigan_cli.training.validation_audio import ValidationClip

_AGREE_EVERY = 10  # steps between the moments at which several processes compare their signals
_SAVES_MAY_FAIL = 2  # in a row
BatchT = TypeVar("BatchT")


class Intervals(Protocol):
    """When a run does what, in steps."""

    @property
    def steps(self) -> int: ...  # noqa: D102
    @property
    def log_every(self) -> int: ...  # noqa: D102
    @property
    def validate_every(self) -> int: ...  # noqa: D102
    @property
    def checkpoint_every(self) -> int: ...  # noqa: D102


@dataclass(frozen=True)
class ValidationResult:
    """What a validation found.

    Attributes:
        metrics: the errors on clips that the training does not see, by name. Where mel_l1_full is
            among them, the best model is kept.
        clips: how many clips there were.
        took_s: how long it took, in seconds.
        details: every further number worth a curve.
        audio: the first few clips, to be heard and seen.
    """

    metrics: dict[str, float]
    clips: int
    took_s: float
    details: dict[str, float] = field(default_factory=dict)
    audio: Sequence[ValidationClip] = ()


class TrainingTask(ABC, Generic[BatchT]):
    """A network to train: its state, its batches, its step, its validation.

    Attributes:
        state: all that changes.
        intervals: how many steps, and when what is done between them.
        audio_s: seconds of speech in a batch, over all processes.
        keep_checkpoints: how many of the last checkpoints stay.
        guard: makes the updates of a step, or skips them.
        official: the training that its error is compared with, if any.
        health: looks for signs of trouble in the figures, if there is something to look for.
    """

    state: TrainingState
    intervals: Intervals
    audio_s: float
    keep_checkpoints: int
    guard: NonfiniteGuard
    official: OfficialTraining | None = None
    health: HealthChecks | None = None

    @abstractmethod
    def started(self) -> Started:
        """Describe the run, ready for its next step."""

    @abstractmethod
    def batches(self) -> Iterable[BatchT]:
        """Yield the batch of each step from the state's on to the last."""

    @abstractmethod
    def set_learning_rate(self) -> float:
        """Set the learning rates of the next step; return the generator's."""

    @abstractmethod
    def train_step(self, batch: BatchT) -> Mapping[str, Tensor]:
        """Learn from one batch, count the step, and return the losses on their device."""

    @abstractmethod
    def validate(self, stopping: Callable[[], bool]) -> ValidationResult | None:
        """Measure the error on clips; None if a signal came meanwhile or there are no clips."""

    @abstractmethod
    def write_model(self, path: Path, origin: dict[str, Any]) -> None:
        """Write the model that the state amounts to, with `origin` in its provenance."""


class Trainer(Generic[BatchT]):
    """Trains a task up to its last step."""

    def __init__(
        self,
        task: TrainingTask[BatchT],
        run: RunFolder,
        data_digest: str,
        context: DistributedContext,
        loggers: Sequence[Logger],
        report: EventCallback,
        stop: Stop,
    ) -> None:
        self._task, self._state = task, task.state
        self._run, self._data_digest = run, data_digest
        self._context, self._stop = context, stop
        self._loggers, self._report = loggers, report
        self._meter = Meter()
        self._rolled_back = False
        self._failed_saves = 0

    def fit(self) -> Finished:
        """Train up to the last step.

        Raises:
            DivergedError: no gradient was finite for long, again after going back.
            InterruptedRunError: a signal came; the step was finished and saved.
            OutputError: the last checkpoint cannot be written, or three in a row.
        """
        state, every, context = self._state, self._task.intervals, self._context
        self._report(self._task.started())
        if state.step == 0:
            self._validate()  # the error that training starts from
            if number := context.any(self._stop.signal_number):
                raise _interrupted(number, 0)
        for batch in self._task.batches():
            rate = self._task.set_learning_rate()
            self._meter.add(self._task.train_step(batch))

            step, last = state.step, state.step == every.steps
            validating = step % every.validate_every == 0 or last
            if step % every.log_every == 0 or step == 1 or last:
                self._log(rate)
            if validating:
                self._validate()
            agreeing = context.world == 1 or validating or step % _AGREE_EVERY == 0
            number = context.any(self._stop.signal_number) if agreeing else 0
            if step % every.checkpoint_every == 0 or last or number:
                self._save(must=last or bool(number))
            if number:
                raise _interrupted(number, step)
        return report_finished(state, self._run, self._report)

    def _log(self, rate: float) -> None:
        """Report the mean losses since the last time, and the speed."""
        state, context = self._state, self._context
        self._handle_nonfinite_steps()
        losses, steps_per_s = self._meter.means(context)
        if not losses:  # none of these steps was finite
            return
        audio_s_per_s = steps_per_s * self._task.audio_s
        eta_s = (self._task.intervals.steps - state.step) / steps_per_s
        self._report(Logged(state.step, losses, rate, steps_per_s, audio_s_per_s, eta_s))
        figures = {**losses, "learning_rate": rate, "steps_per_s": steps_per_s}
        if context.main:
            self._write("train", figures)

    def _handle_nonfinite_steps(self) -> None:
        """Report skipped updates; after many in a row go back to the last checkpoint's weights.

        The steps go on, so that what follows are other batches.
        """
        step = self._state.step
        skipped, longest = self._task.guard.read()
        if skipped:
            self._warn(
                f"updates skipped by step {step:,}: {skipped}, whose gradient was not finite"
            )
        if longest < PATIENCE:
            return
        before = None
        if not self._rolled_back:
            before = roll_back(self._state, self._run, self._context, self._report)
        if before is None:
            raise DivergedError(
                f"training diverged: no finite gradient in {longest} steps up to {step}",
                "the checkpoints are intact; lower learning_rate with --set, or use fp32",
            )
        self._rolled_back = True
        self._task.guard.reset()
        text = f"no finite gradient in {longest} steps: going back to the weights of step"
        self._warn(f"{text} {before:,}")

    def _validate(self) -> None:
        """Validate, and keep the model if it is the best so far."""
        state, task = self._state, self._task
        with self._meter.paused():
            found = task.validate(self._stop.requested)
            if found is None:
                return
            error = found.metrics.get("mel_l1_full")
            best = error is not None and (state.best is None or error < state.best.mel_l1_full)
            if error is not None and best:
                try:
                    if self._context.main:
                        self._write_model(self._run.best, mel_l1_full=error)
                    state.best = Best(state.step, error)
                except OutputError as failed:  # the best is the one that is in the file
                    self._warn(f"{failed.message}; training goes on")
            if self._context.main:
                self._report_validation(found, best=best)

    def _report_validation(self, found: ValidationResult, *, best: bool) -> None:
        """Report an error, where it stands, and when it should reach its bar."""
        step, task = self._state.step, self._task
        standing = expected = None
        if task.official:
            error = found.metrics["mel_l1_full"]
            standing = stand(task.official, error)
            before = task.health.validations if task.health else []
            validations = [*before, (step, error)]
            expected = forecast(validations, task.official.bar, self._meter.pace())
        event = Validated(step, found.metrics, found.clips, found.took_s, best, standing, expected)
        self._report(event)
        for logger in self._loggers:
            logger.clips(step, found.audio)
        compared = standing.figures() if standing else {}
        self._write("validation", {**found.metrics, **found.details, **compared})

    def _write(self, event: str, figures: Mapping[str, float]) -> None:
        """Write figures to every logger, and report what is wrong in them."""
        step, health = self._state.step, self._task.health
        warnings = health.see(event, step, figures) if health else []
        for logger in self._loggers:
            logger.figures(event, step, figures)
        for warning in warnings:
            self._report(warning)
            for logger in self._loggers:
                logger.warning(warning)

    def _save(self, *, must: bool) -> None:
        """Write the model, then the checkpoint, and remove the oldest checkpoint.

        The order matters: once the last checkpoint is there, nothing is left to do. Weights that
        the last gradient could not move may be beyond help. They are not saved unless they `must`,
        so that the checkpoint before them is there to go back to. A full disk does not end a run
        that may outlive it: saving is tried again at the next checkpoint.
        """
        state, run = self._state, self._run
        with self._meter.paused():
            if not self._context.main or (not must and self._task.guard.last_step_skipped()):
                return
            path = run.checkpoint(state.step)
            try:
                self._write_model(run.model)
                write_checkpoint(path, state, self._data_digest)
            except OutputError as error:
                self._failed_saves += 1
                if must or self._failed_saves > _SAVES_MAY_FAIL:
                    raise
                self._warn(f"{error.message}; training goes on")
                return
            self._failed_saves = 0
            run.prune(self._task.keep_checkpoints)
            self._report(Saved(state.step, path))

    def _write_model(self, path: Path, **provenance: Any) -> None:
        origin = {"steps": self._state.step, "data": self._data_digest, **provenance}
        self._task.write_model(path, origin)

    def _warn(self, message: str) -> None:
        self._report(Noted(message, warning=True))


def report_finished(
    state: TrainingState, run: RunFolder, report: EventCallback, *, already: bool = False
) -> Finished:
    """Report that the steps of a run are all done; return the event."""
    best = state.best
    best_step, best_error = (best.step, best.mel_l1_full) if best else (None, None)
    event = Finished(state.step, run.path, run.model, best_step, best_error, already)
    report(event)
    return event


def _interrupted(number: int, step: int) -> InterruptedRunError:
    saved = f"after step {step}, which is saved" if step else "before the first step"
    name = signal.Signals(number).name
    return InterruptedRunError(f"stopped by {name} {saved}", number, "the same command continues")
