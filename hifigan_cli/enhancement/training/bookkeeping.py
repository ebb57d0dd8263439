"""What is done between an enhancer's steps: figures told, bad ones noticed, checkpoints written."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from hifigan_cli.enhancement.training.checkpoint import CHECKPOINT_FILE, roll_back, save
from hifigan_cli.enhancement.training.validation import validate_enhancer
from hifigan_cli.training.runtime.guard import Steadiness
from hifigan_cli.training.runtime.meter import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from hifigan_cli.enhancement.augmentation.pairs_file import Pairs
    from hifigan_cli.enhancement.training.state import EnhancerState
    from hifigan_cli.training.records.metrics import Metrics
    from hifigan_cli.training.runtime.guard import Guard

    Report = Callable[[str, int, dict[str, float]], None]


class EnhancerBooks:
    """One run's records, and the means to fill them."""

    def __init__(
        self,
        out: Path,
        data: str,
        heldout: Pairs,
        metrics: Metrics,
        report: Report,
        guard: Guard,
    ) -> None:
        self.guard = guard
        self._out, self._data, self._heldout = out, data, heldout
        self._metrics, self._report = metrics, report
        self._sums: dict[str, Tensor] = {}  # of each loss, and of the steps that count in it
        self._watch = Stopwatch()
        self._steadiness = Steadiness(guard)

    def add(self, losses: dict[str, Tensor]) -> None:
        """Count a step's losses, if all are finite, without waiting for the device."""
        self._watch.step()
        sound = torch.isfinite(torch.stack(list(losses.values()))).all()
        for name, value in losses.items():
            counted = torch.stack([value, torch.ones_like(value)])
            counted = torch.where(sound, counted, 0.0)
            self._sums[name] = self._sums[name] + counted if name in self._sums else counted

    def log(self, state: EnhancerState, rate: float) -> None:
        """Tell the means since the last time, and the speed.

        Raises:
            DivergedError: as `keep_steady` does.
        """
        self.keep_steady(state)
        sums = {name: value.tolist() for name, value in self._sums.items()}
        figures = {name: total / count for name, (total, count) in sums.items() if count}
        figures["learning_rate"] = rate
        figures["steps_per_s"] = self._watch.read()
        self._tell("train", state.step, figures)
        self._sums = {}

    def keep_steady(self, state: EnhancerState) -> None:
        """Tell of updates that were left out; after many in a row go back to the last checkpoint.

        Only the weights go back. The steps go on, so that what follows are other batches.

        Raises:
            DivergedError: it happened again, or there is nothing to go back to.
        """
        back = self._steadiness.keep(
            state.step,
            lambda updates: self._report("left_out", state.step, {"updates": updates}),
            partial(self._go_back, state),
            "the last checkpoint, if any, is intact; lower learning_rate with --set",
        )
        if back is not None:
            self._report("rolled_back", state.step, {"to": back[1]})

    def _go_back(self, state: EnhancerState) -> int | None:
        if not (self._out / CHECKPOINT_FILE).exists():
            return None
        return roll_back(self._out, state, self._data)

    def validate(self, state: EnhancerState) -> None:
        """Tell how far from clean the result is."""
        with self._watch.paused():
            found = validate_enhancer(state.listener, self._heldout, state.device)
            self._tell("validation", state.step, found)

    def save(self, state: EnhancerState, *, must: bool) -> None:
        """Write model and checkpoint; weights that may be beyond help only where they `must`."""
        if must or not self.guard.in_trouble():
            with self._watch.paused():
                save(self._out, state, self._data)
            self._report("saved", state.step, {})

    def _tell(self, event: str, step: int, figures: dict[str, float]) -> None:
        self._metrics.scalars(event, step, figures)
        self._report(event, step, figures)
