"""The events that a training run reports; the caller decides how to show them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hifigan_cli.types import Notice

if TYPE_CHECKING:
    from pathlib import Path

    from hifigan_cli.training.progress import Forecast, OfficialComparison


@dataclass(frozen=True)
class Rendering:
    """Progress in rendering pairs of noisy and clean speech to train an enhancer."""

    done: int
    pairs: int


@dataclass(frozen=True)
class Started:
    """The run is ready for its next step."""

    run: Path
    step: int  # number of completed steps: 0 for a new run
    steps: int
    device: str
    precision: str
    processes: int
    training_clips: int
    validation_clips: int
    batches_per_epoch: int
    generator_parameters: int


@dataclass(frozen=True)
class Logged:
    """The mean losses since the last `Logged` event, and the speed."""

    step: int
    losses: dict[str, float]
    learning_rate: float
    steps_per_s: float
    audio_s_per_s: float  # seconds of training audio per second
    eta_s: float


@dataclass(frozen=True)
class Validated:
    """The errors on complete validation clips, by name."""

    step: int
    metrics: dict[str, float]
    clips: int
    elapsed_s: float
    best: bool
    comparison: OfficialComparison | None = None  # None if no official training is comparable
    forecast: Forecast | None = None  # None if unknown


@dataclass(frozen=True)
class HealthWarning:
    """A problem in the run's metrics, with advice on how to fix it."""

    step: int
    kind: str  # identifies the problem
    message: str
    hint: str


@dataclass(frozen=True)
class Saved:
    """A checkpoint and the model file are on disk."""

    step: int
    path: Path


@dataclass(frozen=True)
class Finished:
    """All steps are done."""

    step: int
    run: Path
    model: Path
    best_step: int | None
    best_mel_l1_full: float | None
    already_finished: bool  # there was nothing left to train


Event = Rendering | Started | Logged | Validated | HealthWarning | Saved | Notice | Finished
EventCallback = Callable[[Event], None]
