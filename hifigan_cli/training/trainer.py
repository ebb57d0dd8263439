"""The training loop: step, and at intervals log, validate and save.

It is the same for every network; a `TrainingTask` provides state, batches, step and validation.
Batches are functions of seed and step, the learning rate is a function of the step, and everything
else is in the checkpoint. So a resumed run is identical to an uninterrupted one.

All processes log and validate at the same steps, because the means are over all of them. Only the
main process reports and writes.
"""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from hifigan_cli.errors import DivergedError, InterruptedRunError, OutputError
from hifigan_cli.training.checkpoint import write_checkpoint
from hifigan_cli.training.events import Finished, Logged, Saved, Validated
from hifigan_cli.training.meter import Meter
from hifigan_cli.training.nonfinite_guard import PATIENCE, NonfiniteGuard
from hifigan_cli.training.progress import compare_with_official, forecast
from hifigan_cli.training.start import roll_back
from hifigan_cli.training.state import BestValidation
from hifigan_cli.types import Notice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from hifigan_cli.runtime.distributed import DistributedContext
    from hifigan_cli.runtime.signals import StopSignal
    from hifigan_cli.training.events import EventCallback, Started
    from hifigan_cli.training.health_checks import HealthChecks
    from hifigan_cli.training.loggers import Logger
    from hifigan_cli.training.progress import OfficialTraining
    from hifigan_cli.training.run_folder import RunFolder
    from hifigan_cli.training.state import TrainingState
    from hifigan_cli.training.validation_audio import ValidationClip

_SIGNAL_CHECK_EVERY = 10  # steps; only with several processes
_MAX_FAILED_SAVES = 2  # the limit applies to consecutive saves
BatchT = TypeVar("BatchT")


class Intervals(Protocol):
    """The length of a run and its intervals, in steps."""

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
    """The result of a validation.

    Attributes:
        metrics: the errors on validation clips by name. If mel_l1_full is one of them, the best
            model is saved.
        clips: the number of clips.
        elapsed_s: the duration in seconds.
        details: further metrics to log.
        audio: the first few clips, to log as audio and images.
    """

    metrics: dict[str, float]
    clips: int
    elapsed_s: float
    details: dict[str, float] = field(default_factory=dict)
    audio: Sequence[ValidationClip] = ()


class TrainingTask(ABC, Generic[BatchT]):
    """A network to train: its state, batches, step and validation.

    Attributes:
        state: the training state.
        intervals: the number of steps, and the intervals of logging, validation and saving.
        audio_s: seconds of audio in a batch, over all processes.
        keep_checkpoints: how many of the last checkpoints to keep.
        guard: performs the updates of a step, or skips them.
        official: the official training to compare the error with, or None.
        health_checks: checks for problems in the metrics, or None.
    """

    state: TrainingState
    intervals: Intervals
    audio_s: float
    keep_checkpoints: int
    guard: NonfiniteGuard
    official: OfficialTraining | None = None
    health_checks: HealthChecks | None = None

    @abstractmethod
    def started_event(self) -> Started:
        """Return the event that describes the run."""

    @abstractmethod
    def batches(self) -> Iterable[BatchT]:
        """Yield the batch of each remaining step."""

    @abstractmethod
    def set_learning_rate(self) -> float:
        """Set the learning rates of the next step; return that of the generator."""

    @abstractmethod
    def train_step(self, batch: BatchT) -> Mapping[str, Tensor]:
        """Train on one batch, count the step, and return the losses on their device."""

    @abstractmethod
    def validate(self, should_stop: Callable[[], bool]) -> ValidationResult | None:
        """Measure the error on clips; return None if `should_stop` or without clips."""

    @abstractmethod
    def write_model(self, path: Path, origin: dict[str, Any]) -> None:
        """Write the current model, with `origin` in its provenance."""


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
        stop: StopSignal,
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
            DivergedError: gradients were not finite for many steps, also after a rollback.
            InterruptedRunError: a signal arrived; the step was completed and saved.
            OutputError: the last checkpoint, or three in a row, cannot be written.
        """
        state, intervals, context = self._state, self._task.intervals, self._context
        self._report(self._task.started_event())
        if state.step == 0:
            self._validate()  # the error before training
            if number := context.max(self._stop.signal_number):
                raise _interrupted(number, 0)
        for batch in self._task.batches():
            lr = self._task.set_learning_rate()
            self._meter.add(self._task.train_step(batch))

            step, last = state.step, state.step == intervals.steps
            validating = step % intervals.validate_every == 0 or last
            if step % intervals.log_every == 0 or step == 1 or last:
                self._log(lr)
            if validating:
                self._validate()
            check_signal = context.world_size == 1 or validating or step % _SIGNAL_CHECK_EVERY == 0
            number = context.max(self._stop.signal_number) if check_signal else 0
            if step % intervals.checkpoint_every == 0 or last or number:
                self._save(required=last or bool(number))
            if number:
                raise _interrupted(number, step)
        return report_finished(state, self._run, self._report)

    def _log(self, lr: float) -> None:
        """Report the mean losses since the last log entry, and the speed."""
        state, context = self._state, self._context
        self._handle_nonfinite_steps()
        losses, steps_per_s = self._meter.means(context)
        if not losses:  # all of these steps were non-finite
            return
        audio_s_per_s = steps_per_s * self._task.audio_s
        eta_s = (self._task.intervals.steps - state.step) / steps_per_s
        self._report(Logged(state.step, losses, lr, steps_per_s, audio_s_per_s, eta_s))
        if context.is_main:
            self._log_metrics("train", {**losses, "learning_rate": lr, "steps_per_s": steps_per_s})

    def _handle_nonfinite_steps(self) -> None:
        """Report skipped steps; after many in a row load the weights of the last checkpoint.

        The step counter continues, so training continues with new batches.
        """
        step = self._state.step
        skipped, longest = self._task.guard.read()
        if skipped:
            self._warn(f"{skipped} updates up to step {step:,} were skipped: gradients not finite")
        if longest < PATIENCE:
            return
        restored_step = None
        if not self._rolled_back:
            restored_step = roll_back(self._state, self._run, self._context, self._report)
        if restored_step is None:
            raise DivergedError(
                f"training diverged: no finite gradients in {longest} steps up to step {step}",
                "the checkpoints are intact; lower learning_rate with --set, or use fp32",
            )
        self._rolled_back = True
        self._task.guard.reset()
        text = f"no finite gradients in {longest} steps: restored the weights of step"
        self._warn(f"{text} {restored_step:,}")

    def _validate(self) -> None:
        """Validate, and save the model if it is the best so far."""
        state, task = self._state, self._task
        with self._meter.paused():
            result = task.validate(self._stop.requested)
            if result is None:
                return
            error = result.metrics.get("mel_l1_full")
            best = error is not None and (state.best is None or error < state.best.mel_l1_full)
            if error is not None and best:
                try:
                    if self._context.is_main:
                        self._write_model(self._run.best, mel_l1_full=error)
                    state.best = BestValidation(state.step, error)
                except OutputError as failed:  # `best` must match the file
                    self._warn(f"{failed.message}; training continues")
            if self._context.is_main:
                self._report_validation(result, best=best)

    def _report_validation(self, result: ValidationResult, *, best: bool) -> None:
        """Report and log a validation, with the comparison and forecast of its error."""
        step, task = self._state.step, self._task
        comparison = expected = None
        if task.official:
            error = result.metrics["mel_l1_full"]
            comparison = compare_with_official(task.official, error)
            before = task.health_checks.validations if task.health_checks else []
            validations = [*before, (step, error)]
            expected = forecast(
                validations, task.official.threshold, self._meter.median_steps_per_s()
            )
        event = Validated(
            step, result.metrics, result.clips, result.elapsed_s, best, comparison, expected
        )
        self._report(event)
        for logger in self._loggers:
            logger.log_clips(step, result.audio)
        official = comparison.metrics() if comparison else {}
        self._log_metrics("validation", {**result.metrics, **result.details, **official})

    def _log_metrics(self, event: str, metrics: Mapping[str, float]) -> None:
        """Pass metrics to all loggers, and report problems in them."""
        step, checks = self._state.step, self._task.health_checks
        warnings = checks.check(event, step, metrics) if checks else []
        for logger in self._loggers:
            logger.log_metrics(event, step, metrics)
        for warning in warnings:
            self._report(warning)
            for logger in self._loggers:
                logger.log_warning(warning)

    def _save(self, *, required: bool) -> None:
        """Write the model, then the checkpoint, and remove the oldest checkpoint.

        The order matters: once the last checkpoint exists, the run counts as finished. If the last
        update was skipped, the weights may have diverged; they are saved only if `required`, so
        that a rollback finds an earlier checkpoint. A full disk does not end the run at once: the
        next checkpoint tries again.
        """
        state, run = self._state, self._run
        with self._meter.paused():
            if not self._context.is_main or (not required and self._task.guard.last_step_skipped()):
                return
            path = run.checkpoint(state.step)
            try:
                self._write_model(run.model)
                write_checkpoint(path, state, self._data_digest)
            except OutputError as error:
                self._failed_saves += 1
                if required or self._failed_saves > _MAX_FAILED_SAVES:
                    raise
                self._warn(f"{error.message}; training continues")
                return
            self._failed_saves = 0
            run.prune(self._task.keep_checkpoints)
            self._report(Saved(state.step, path))

    def _write_model(self, path: Path, **provenance: Any) -> None:
        origin = {"steps": self._state.step, "data": self._data_digest, **provenance}
        self._task.write_model(path, origin)

    def _warn(self, message: str) -> None:
        self._report(Notice(message, warning=True))


def report_finished(
    state: TrainingState, run: RunFolder, report: EventCallback, *, already_finished: bool = False
) -> Finished:
    """Report that a run is finished; return the event."""
    best = state.best
    best_step, best_error = (best.step, best.mel_l1_full) if best else (None, None)
    event = Finished(state.step, run.path, run.model, best_step, best_error, already_finished)
    report(event)
    return event


def _interrupted(number: int, step: int) -> InterruptedRunError:
    when = f"after step {step}, which is saved" if step else "before the first step"
    name = signal.Signals(number).name
    return InterruptedRunError(f"stopped by {name} {when}", number, "repeat the command to resume")
