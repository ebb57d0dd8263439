"""What is done between steps: figures told, clips validated, checkpoints written.

All processes come here at the same steps, since the means are taken over all; only the main one
reports and writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hifigan_cli.training.events import Finished, Logged, Validated
from hifigan_cli.training.state import Best
from hifigan_cli.training.validation import validate

if TYPE_CHECKING:
    from collections.abc import Callable

    from hifigan_cli.training.events import Report
    from hifigan_cli.training.records.folder import RunFolder
    from hifigan_cli.training.records.metrics import Sink
    from hifigan_cli.training.records.saver import Saver
    from hifigan_cli.training.runtime.distributed import Ranks
    from hifigan_cli.training.runtime.guard import Guard
    from hifigan_cli.training.runtime.meter import Meter
    from hifigan_cli.training.state import TrainState
    from hifigan_cli.training.step import Mels
    from hifigan_cli.training.validation import Utterances


@dataclass
class Books:
    """One run's records, and the means to fill them."""

    run: RunFolder
    ranks: Ranks
    report: Report
    sinks: list[Sink]
    saver: Saver
    guard: Guard
    meter: Meter
    utterances: Utterances
    mels: Mels

    def log(self, state: TrainState, rate: float) -> None:
        """Tell the mean losses since the last time, and the speed.

        Raises:
            DivergedError: a number was not finite.
        """
        self.guard.check(state.step - 1)
        losses, steps_per_s = self.meter.read(self.ranks)
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
        figures = {**losses, "learning_rate": rate, "steps_per_s": steps_per_s}
        for sink in self.sinks:
            sink.scalars("train", state.step, figures)

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
            for sink in self.sinks:
                sink.scalars("validation", state.step, {"mel_l1_full": found.mel_l1_full})
                sink.clips(state.step, found.heard)
            self.report(Validated(state.step, found.mel_l1_full, found.clips, found.took_s, best))

    def save(self, state: TrainState, *, must: bool) -> None:
        """Write a checkpoint and the model.

        Raises:
            DivergedError: a number was not finite; nothing is written.
            OutputError: the file system refused, and `must` is set or it did so twice before.
        """
        with self.meter.paused():
            self.guard.check(state.step - 1)
            if self.ranks.main:
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
