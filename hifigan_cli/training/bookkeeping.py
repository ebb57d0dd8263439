"""What is done between steps: figures told, clips validated, checkpoints written.

All processes come here at the same steps, since the means are taken over all; only the main one
reports and writes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from hifigan_cli.training.events import Finished, Logged, Noted, Validated
from hifigan_cli.training.progress.forecast import forecast, pace
from hifigan_cli.training.progress.reference import reference_of, stand
from hifigan_cli.training.progress.watch import Watch
from hifigan_cli.training.records.metrics import read_entries
from hifigan_cli.training.runtime.guard import Steadiness
from hifigan_cli.training.start import roll_back
from hifigan_cli.training.state import Best
from hifigan_cli.training.validation import validate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hifigan_cli.runtime.distributed import DistributedContext
    from hifigan_cli.training.events import Report
    from hifigan_cli.training.records.folder import RunFolder
    from hifigan_cli.training.records.metrics import Sink
    from hifigan_cli.training.records.saver import Saver
    from hifigan_cli.training.runtime.guard import Guard
    from hifigan_cli.training.runtime.meter import Meter
    from hifigan_cli.training.state import TrainState
    from hifigan_cli.training.step import Mels
    from hifigan_cli.training.validation import Utterances, Validation

_SPEEDS = 50  # reports that the speed of a forecast is taken from


@dataclass
class Books:
    """One run's records, and the means to fill them."""

    run: RunFolder
    ranks: DistributedContext
    report: Report
    sinks: list[Sink]
    saver: Saver
    guard: Guard
    meter: Meter
    utterances: Utterances
    mels: Mels
    _watch: Watch | None = field(default=None, init=False)
    _speeds: deque[float] = field(default_factory=lambda: deque(maxlen=_SPEEDS), init=False)
    _steadiness: Steadiness = field(init=False)

    def __post_init__(self) -> None:
        self._steadiness = Steadiness(self.guard)

    def warn(self, message: str) -> None:
        """Report something that does not stop the run."""
        self.report(Noted(message, warning=True))

    def log(self, state: TrainState, rate: float) -> None:
        """Tell the mean losses since the last time, and the speed.

        Raises:
            DivergedError: as `keep_steady` does.
        """
        self.keep_steady(state)
        losses, steps_per_s = self.meter.means(self.ranks)
        if not losses:  # of none of these steps
            return
        train = state.config.train
        batch = train.overfit or train.batch_size
        audio_s = batch * train.segment_samples / state.config.mel.rate_hz
        event = Logged(
            step=state.step,
            losses=losses,
            learning_rate=rate,
            steps_per_s=steps_per_s,
            audio_s_per_s=steps_per_s * audio_s,
            eta_s=(train.steps - state.step) / steps_per_s,
        )
        self.report(event)
        self._speeds.append(steps_per_s)
        self._tell(state, "train", {**losses, "learning_rate": rate, "steps_per_s": steps_per_s})

    def keep_steady(self, state: TrainState) -> None:
        """Tell of updates that were left out; after many in a row go back to the last checkpoint.

        Only the weights go back. The steps go on, so that what follows are other batches.

        Raises:
            DivergedError: it happened again, or there is nothing to go back to.
        """
        back = self._steadiness.keep(
            state.step,
            partial(self._left_out, state.step),
            lambda: roll_back(state, self.run, self.ranks, self.report),
            "the checkpoints are intact; lower learning_rate with --set, or use fp32",
        )
        if back is not None:
            longest, before = back
            text = f"no finite gradient in {longest} steps: going back to the weights of step"
            self.report(Noted(f"{text} {before:,}", warning=True))

    def _left_out(self, step: int, updates: int) -> None:
        text = f"updates left out by step {step:,}: {updates}, whose gradient was not finite"
        self.report(Noted(text, warning=True))

    def validate(self, state: TrainState, stopping: Callable[[], bool]) -> None:
        """Validate, and keep the model if it is the best so far."""
        with self.meter.paused():
            found = validate(state, self.utterances, self.mels, self.ranks, stopping)
            if found is None:
                return
            best = state.best is None or found.mel_l1_full < state.best.mel_l1_full
            if best:
                state.best = Best(state.step, found.mel_l1_full)
            if best and self.ranks.main:
                self.saver.save_best(state)
            if self.ranks.main:
                self._tell_validation(state, found, best=best)

    def _tell_validation(self, state: TrainState, found: Validation, *, best: bool) -> None:
        """Tell an error, where it stands, and when it should reach its bar."""
        reference = reference_of(state.config) if self.utterances.natural else None
        standing = stand(reference, found.mel_l1_full) if reference else None
        expected = None
        if reference and self._speeds:
            so_far = [*self.watch(state).validations, (state.step, found.mel_l1_full)]
            expected = forecast(so_far, reference.bar, pace(self._speeds))
        self.report(
            Validated(
                step=state.step,
                mel_l1_full=found.mel_l1_full,
                clips=found.clips,
                took_s=found.took_s,
                best=best,
                standing=standing,
                forecast=expected,
            )
        )
        for sink in self.sinks:
            sink.clips(state.step, found.heard)
        official = standing.figures() if standing else {}
        self._tell(state, "validation", {**found.figures(), **official})

    def watch(self, state: TrainState) -> Watch:
        """Return what looks out for trouble; it first recalls what an earlier process saw."""
        if self._watch is None:
            self._watch = Watch(state.config.train)
            self._watch.recall(read_entries(self.run.metrics))
        return self._watch

    def _tell(self, state: TrainState, event: str, figures: Mapping[str, float]) -> None:
        """Write figures to every place for them, and say what is wrong in them."""
        if not self.ranks.main:
            return
        warnings = self.watch(state).see(event, state.step, figures)
        for sink in self.sinks:
            sink.scalars(event, state.step, figures)
        for warning in warnings:
            self.report(warning)
            for sink in self.sinks:
                sink.warning(warning)

    def save(self, state: TrainState, *, must: bool) -> None:
        """Write a checkpoint and the model.

        Weights that the last gradient could not move may be beyond help; they are not saved unless
        they `must`, so that the checkpoint before them is there to go back to.

        Raises:
            OutputError: the file system refused, and `must` is set or it did so twice before.
        """
        with self.meter.paused():
            if self.ranks.main and (must or not self.guard.in_trouble()):
                self.saver.save(state, must=must)

    def finish(self, state: TrainState, *, already: bool) -> Finished:
        """Tell that all steps are done."""
        best = state.best
        event = Finished(
            step=state.step,
            run=self.run.path,
            model=self.run.model,
            best_step=best.step if best else None,
            best_mel_l1_full=best.mel_l1_full if best else None,
            already=already,
        )
        self.report(event)
        return event
