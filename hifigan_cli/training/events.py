"""What a training run reports while it works: plain facts, which the caller shows as it likes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from hifigan_cli.training.progress import Forecast, Standing


@dataclass(frozen=True)
class Rendering:
    """Pairs of clean and damaged speech are rendered, which an enhancer's training starts with."""

    done: int
    pairs: int


@dataclass(frozen=True)
class Started:
    """The run is ready for its next step."""

    run: Path
    step: int  # steps already done: 0, or where a checkpoint stood
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
    """The mean losses since the last such event, and the speed."""

    step: int
    losses: dict[str, float]
    learning_rate: float
    steps_per_s: float
    audio_s_per_s: float  # seconds of speech trained on in a second
    eta_s: float


@dataclass(frozen=True)
class Validated:
    """The errors on complete clips that the training does not see, by name."""

    step: int
    metrics: dict[str, float]
    clips: int
    took_s: float
    best: bool
    standing: Standing | None = None  # None where no official training is comparable
    forecast: Forecast | None = None  # None where it is unknown


@dataclass(frozen=True)
class Warned:
    """Something in the run's figures is wrong, and what to do about it."""

    step: int
    kind: str  # one word, the same for the same trouble
    message: str
    hint: str


@dataclass(frozen=True)
class Saved:
    """A checkpoint and the model file are on disk."""

    step: int
    path: Path


@dataclass(frozen=True)
class Noted:
    """Something worth knowing; `warning` where it may need the user's hand."""

    message: str
    warning: bool = False


@dataclass(frozen=True)
class Finished:
    """All steps are done."""

    step: int
    run: Path
    model: Path
    best_step: int | None
    best_mel_l1_full: float | None
    already: bool  # nothing was left to do


Event = Rendering | Started | Logged | Validated | Warned | Saved | Noted | Finished
EventCallback = Callable[[Event], None]
