"""The output of training: a live table on a terminal, otherwise regular lines or JSON."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hifigan_cli.training.events import (
    Finished,
    HealthWarning,
    Logged,
    Rendering,
    Saved,
    Started,
    Validated,
)
from hifigan_cli.types import Notice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import DataclassInstance
    from rich.live import Live
    from rich.table import Table

    from hifigan_cli.cli.console import Console
    from hifigan_cli.training.events import Event, EventCallback
    from hifigan_cli.training.progress import Forecast, OfficialComparison

_LINE_INTERVAL_S = 5.0
# The losses that are shown, with their titles.
_LOSS_TITLES = {
    "mel": "mel",
    "feature": "feature",
    "adversarial": "generator",
    "discriminator": "discriminators",
    "distance": "distance",
    "differences": "differences",
}


@contextmanager
def training_view(console: Console) -> Iterator[EventCallback]:
    """Yield a `TrainingView`, with a live table if stderr is a terminal."""
    # rich would treat FORCE_COLOR as a terminal.
    if console.json or console.quiet or not sys.stderr.isatty():
        yield TrainingView(console)
        return
    from rich.live import Live

    with Live(console=console.stderr, auto_refresh=False) as live:
        yield TrainingView(console, live)


class TrainingView:
    """Prints the events of a training run."""

    def __init__(self, console: Console, live: Live | None = None) -> None:
        self._console = console
        self._live = live
        self._started: Started | None = None
        self._validated: Validated | None = None
        self._best: Validated | None = None
        self._last_line_s = 0.0

    def __call__(self, event: Event) -> None:
        """Print one event."""
        if isinstance(event, Notice):
            (self._console.warn if event.warning else self._console.note)(event.message)
        if isinstance(event, HealthWarning):
            self._console.warn(f"step {event.step:,}: {event.message}; {event.hint}")
        if isinstance(event, Started):
            self._started = event
        if isinstance(event, Validated):
            self._validated = event
            self._best = event if event.best else self._best
        if self._console.json:
            self._console.emit(_event_name(event), **_fields(event))
        elif isinstance(event, Logged | Rendering):
            self._show_progress(event)
        elif text := describe_event(event):
            self._console.note(text)

    def _show_progress(self, event: Logged | Rendering) -> None:
        if self._live is not None:
            content = self._table(event) if isinstance(event, Logged) else describe_event(event)
            self._live.update(content, refresh=True)
        elif time.monotonic() - self._last_line_s >= _LINE_INTERVAL_S:
            self._last_line_s = time.monotonic()
            self._console.note(describe_event(event))

    def _table(self, event: Logged) -> Table:
        from rich.table import Table

        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        steps = self._started.steps if self._started else event.step
        table.add_row("step", f"{event.step:,} of {steps:,}", "left", format_duration(event.eta_s))
        cells = [cell for title, value in _losses(event) for cell in (title, f"{value:.4f}")]
        for start in range(0, len(cells), 4):
            table.add_row(*cells[start : start + 4])
        table.add_row(
            "speed", f"{event.steps_per_s:.2f} steps/s", "audio", f"{event.audio_s_per_s:.1f} s/s"
        )
        table.add_row("learning rate", f"{event.learning_rate:.3g}", "", "")
        if self._validated:
            table.add_row(
                "validation", f"{_metrics(self._validated)} (step {self._validated.step:,})"
            )
            if self._best:
                table.add_row("best", f"{_metrics(self._best)} (step {self._best.step:,})")
            if text := describe_progress(self._validated):
                table.add_row("", text)
        return table


def print_plan(console: Console, estimate: DataclassInstance, device: object, *lines: str) -> None:
    """Print the plan of a training run: the lines, or with `--json` the fields of the estimate."""
    fields = {**_json_fields(asdict(estimate)), "device": str(device)}
    console.data("plan", "\n".join(lines), **fields)


def describe_event(event: Event) -> str:
    """Describe an event in one line; return an empty string if it needs no line."""
    match event:
        case Rendering():
            return f"rendering pairs: {event.done} of {event.pairs}"
        case Started():
            start = f"continues at step {event.step:,}" if event.step else "starts"
            processes = f", {event.processes} processes" if event.processes > 1 else ""
            return (
                f"{event.run} {start}: up to step {event.steps:,} on {event.device}{processes}, "
                f"{event.precision}; {event.training_clips} clips "
                f"({event.batches_per_epoch} batches per epoch), "
                f"{event.validation_clips} for validation; "
                f"generator {event.generator_parameters:,} parameters"
            )
        case Logged():
            losses = "  ".join(f"{title} {value:.4f}" for title, value in _losses(event))
            return (
                f"step {event.step:,}  {losses}  "
                f"{event.steps_per_s:.2f} steps/s  {event.audio_s_per_s:.1f} s audio/s  "
                f"{format_duration(event.eta_s)} left"
            )
        case Validated():
            best = ", best so far" if event.best else ""
            return (
                f"step {event.step:,}  validation {_metrics(event)} "
                f"({event.clips} clips, {event.elapsed_s:.1f} s{best})"
                + (f": {text}" if (text := describe_progress(event)) else "")
            )
        case Saved():
            return f"step {event.step:,}  saved {event.path}"
        case Finished(already_finished=True):
            return f"{event.run} is already at step {event.step:,}; --steps is the total number"
        case Finished():
            return f"finished {event.step:,} steps; the model is {event.model}"
        case Notice() | HealthWarning():
            return ""


def _losses(event: Logged) -> list[tuple[str, float]]:
    losses = event.losses
    return [(title, losses[name]) for name, title in _LOSS_TITLES.items() if name in losses]


def _metrics(event: Validated) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in event.metrics.items())


def describe_progress(event: Validated) -> str:
    """Compare an error with the official training and forecast when it reaches the threshold."""
    if event.comparison is None:
        return ""
    error = event.metrics["mel_l1_full"]
    parts = [describe_comparison(event.comparison, error)]
    if error < event.comparison.threshold:
        parts.append(f"better than the threshold {event.comparison.threshold:g}")
    elif event.forecast:
        parts.append(describe_forecast(event.forecast))
    return "; ".join(parts)


def describe_comparison(comparison: OfficialComparison, mel_l1_full: float) -> str:
    """Describe how an error compares with those of the official training.

    >>> from hifigan_cli.training.progress import OFFICIAL_TRAININGS, compare_with_official
    >>> describe_comparison(compare_with_official(OFFICIAL_TRAININGS["v1"], 0.281), 0.281)
    'like the official V1 after about 170 k steps; fully trained it reaches 0.214'
    >>> describe_comparison(compare_with_official(OFFICIAL_TRAININGS["v2"], 0.39), 0.39)
    'the fully trained official V2 reaches 0.325'
    """
    official, converged = f"official {comparison.preset.upper()}", comparison.converged
    if mel_l1_full <= converged:
        return f"not worse than the fully trained {official} ({converged:g})"
    if comparison.official_steps is not None:
        steps = format_steps(comparison.official_steps)
        return (
            f"like the {official} after about {steps} steps; fully trained it reaches {converged:g}"
        )
    if comparison.earliest is not None:
        step, error = comparison.earliest
        return (
            f"the {official} was better ({error:g}) after {format_steps(step)} steps; "
            f"fully trained it reaches {converged:g}"
        )
    return f"the fully trained {official} reaches {converged:g}"


def describe_forecast(forecast: Forecast) -> str:
    """Describe when an error should reach the threshold.

    >>> from hifigan_cli.training.progress import Forecast
    >>> describe_forecast(Forecast(0.23, 1_190_000, 400_000))
    'reaches the threshold 0.23 in about 4 d 15 h, at step 1.2 M'
    """
    return (
        f"reaches the threshold {forecast.threshold:g} in about "
        f"{format_duration(forecast.remaining_s)}, at step {format_steps(forecast.step)}"
    )


def format_steps(steps: int) -> str:
    """Format a number of steps with two significant digits.

    >>> [format_steps(steps) for steps in (167_332, 1_190_000, 8_421, 999_900, 312)]
    ['170 k', '1.2 M', '8.4 k', '1 M', '310']
    """
    number = float(f"{steps:.1e}")
    for unit, suffix in ((1e6, " M"), (1e3, " k")):
        if number >= unit:
            return f"{number / unit:g}{suffix}"
    return f"{number:g}"


def format_duration(seconds: float) -> str:
    """Format a duration as minutes, hours or days.

    >>> format_duration(59), format_duration(3_700), format_duration(400_000)
    ('0:59', '1:01:40', '4 d 15 h')
    """
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def _event_name(event: Event) -> str:
    names: dict[type, str] = {Logged: "train", Validated: "validation", HealthWarning: "warning"}
    return names.get(type(event), type(event).__name__.lower())


def _fields(event: Event) -> dict[str, Any]:
    fields = asdict(event)
    return _json_fields(fields | fields.pop("losses", {}) | fields.pop("metrics", {}))


def _json_fields(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in fields.items()}
