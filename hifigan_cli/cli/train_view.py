"""How a training run looks: a live table on a terminal, a line now and then elsewhere, or JSON."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hifigan_cli.training.events import (
    Finished,
    Logged,
    Noted,
    Rendering,
    Saved,
    Started,
    Validated,
    Warned,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import DataclassInstance
    from rich.live import Live
    from rich.table import Table

    from hifigan_cli.cli.console import Console
    from hifigan_cli.training.events import Event, EventCallback
    from hifigan_cli.training.progress import Forecast, Standing

_LINE_EVERY_S = 5.0
# The losses that people watch, by the names of what they train.
_SHOWN = {
    "mel": "mel",
    "feature": "feature",
    "adversarial": "generator",
    "discriminator": "discriminators",
    "distance": "distance",
    "differences": "differences",
}


@contextmanager
def training_view(console: Console) -> Iterator[EventCallback]:
    """Yield a function that shows each event of a run."""
    # rich would take FORCE_COLOR for a terminal.
    if console.json or console.quiet or not sys.stderr.isatty():
        yield View(console)
        return
    from rich.live import Live

    with Live(console=console.stderr, auto_refresh=False) as live:
        yield View(console, live)


class View:
    """Shows a run's events, one after another."""

    def __init__(self, console: Console, live: Live | None = None) -> None:
        self._console = console
        self._live = live
        self._started: Started | None = None
        self._validated: Validated | None = None
        self._best: Validated | None = None
        self._last_line = 0.0

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, Noted):
            (self._console.warn if event.warning else self._console.note)(event.message)
        if isinstance(event, Warned):
            self._console.warn(f"step {event.step:,}: {event.message}; {event.hint}")
        if isinstance(event, Started):
            self._started = event
        if isinstance(event, Validated):
            self._validated = event
            self._best = event if event.best else self._best
        if self._console.json:
            self._console.emit(_name(event), **_fields(event))
        elif isinstance(event, Logged | Rendering):
            self._show(event)
        elif text := describe(event):
            self._console.note(text)

    def _show(self, event: Logged | Rendering) -> None:
        if self._live is not None:
            shown = self._table(event) if isinstance(event, Logged) else describe(event)
            self._live.update(shown, refresh=True)
        elif time.monotonic() - self._last_line >= _LINE_EVERY_S:
            self._last_line = time.monotonic()
            self._console.note(describe(event))

    def _table(self, event: Logged) -> Table:
        from rich.table import Table

        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        steps = self._started.steps if self._started else event.step
        table.add_row("step", f"{event.step:,} of {steps:,}", "left", clock(event.eta_s))
        cells = [cell for name, value in _losses(event) for cell in (name, f"{value:.4f}")]
        for place in range(0, len(cells), 4):
            table.add_row(*cells[place : place + 4])
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
            if text := outlook(self._validated):
                table.add_row("", text)
        return table


def print_plan(console: Console, found: DataclassInstance, device: object, *lines: str) -> None:
    """Print what a training would do: lines for people, the fields of the estimate as JSON."""
    fields = {**_plain(asdict(found)), "device": str(device)}
    console.data("plan", "\n".join(lines), **fields)


def describe(event: Event) -> str:
    """Describe an event in one line; an empty string where nothing need be said."""
    match event:
        case Rendering():
            return f"rendering pairs: {event.done} of {event.pairs}"
        case Started():
            where = f"continues at step {event.step:,}" if event.step else "starts"
            processes = f", {event.processes} processes" if event.processes > 1 else ""
            return (
                f"{event.run} {where}: up to step {event.steps:,} on {event.device}{processes}, "
                f"{event.precision}; {event.training_clips} clips "
                f"({event.batches_per_epoch} batches an epoch), "
                f"{event.validation_clips} for validation; "
                f"generator {event.generator_parameters:,} parameters"
            )
        case Logged():
            losses = "  ".join(f"{name} {value:.4f}" for name, value in _losses(event))
            return (
                f"step {event.step:,}  {losses}  "
                f"{event.steps_per_s:.2f} steps/s  {event.audio_s_per_s:.1f} s audio/s  "
                f"{clock(event.eta_s)} left"
            )
        case Validated():
            mark = "  (best so far)" if event.best else ""
            return (
                f"step {event.step:,}  validation {_metrics(event)} "
                f"on {event.clips} clips, {event.took_s:.1f} s{mark}"
                + (f": {text}" if (text := outlook(event)) else "")
            )
        case Saved():
            return f"step {event.step:,}  saved {event.path}"
        case Finished(already=True):
            return f"{event.run} already is at step {event.step:,}; --steps is the total"
        case Finished():
            return f"done: {event.step:,} steps; the model is {event.model}"
        case Noted() | Warned():
            return ""


def _losses(event: Logged) -> list[tuple[str, float]]:
    return [(title, event.losses[name]) for name, title in _SHOWN.items() if name in event.losses]


def _metrics(event: Validated) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in event.metrics.items())


def outlook(event: Validated) -> str:
    """Describe where an error stands and when it should be at its bar, as far as that is known."""
    if event.standing is None:
        return ""
    error = event.metrics["mel_l1_full"]
    words = [standing(event.standing, error)]
    if error < event.standing.bar:
        words.append(f"under the bar of its class ({event.standing.bar:g})")
    elif event.forecast:
        words.append(expected(event.forecast))
    return "; ".join(words)


def standing(found: Standing, mel_l1_full: float) -> str:
    """Describe where an error stands on the official training's curve.

    >>> from hifigan_cli.training.progress import OFFICIAL, stand
    >>> standing(stand(OFFICIAL["v1"], 0.281), 0.281)
    'like the official V1 after about 170 k steps; converged is 0.214'
    >>> standing(stand(OFFICIAL["v2"], 0.39), 0.39)
    '0.065 above the official V2, converged (0.325); its errors on the way are not known'
    """
    official = f"the official {found.preset.upper()}"
    if mel_l1_full <= found.converged:
        return f"no worse than {official}, converged ({found.converged:g})"
    if found.official_steps is not None:
        steps = rounded(found.official_steps)
        return f"like {official} after about {steps} steps; converged is {found.converged:g}"
    if found.earliest is not None:
        step, error = found.earliest
        return (
            f"{official} was past this by {rounded(step)} steps ({error:g}); "
            f"converged is {found.converged:g}"
        )
    above = mel_l1_full - found.converged
    return (
        f"{above:.3f} above {official}, converged ({found.converged:g}); "
        "its errors on the way are not known"
    )


def expected(found: Forecast) -> str:
    """Describe when an error should be at its bar.

    >>> from hifigan_cli.training.progress import Forecast
    >>> expected(Forecast(0.23, 1_190_000, 400_000))
    'the bar of its class (0.23) in about 4 d 15 h, at step 1.2 M, at this pace'
    """
    return (
        f"the bar of its class ({found.bar:g}) in about {clock(found.left_s)}, "
        f"at step {rounded(found.step)}, at this pace"
    )


def rounded(steps: int) -> str:
    """Write a number of steps to two figures.

    >>> rounded(167_332), rounded(1_190_000), rounded(8_421), rounded(999_900), rounded(312)
    ('170 k', '1.2 M', '8.4 k', '1 M', '310')
    """
    number = float(f"{steps:.1e}")
    for unit, name in ((1e6, " M"), (1e3, " k")):
        if number >= unit:
            return f"{number / unit:g}{name}"
    return f"{number:g}"


def clock(seconds: float) -> str:
    """Write a time as people read it.

    >>> clock(59), clock(3_700), clock(400_000)
    ('0:59', '1:01:40', '4 d 15 h')
    """
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def _name(event: Event) -> str:
    names: dict[type, str] = {Logged: "train", Validated: "validation", Warned: "warning"}
    return names.get(type(event), type(event).__name__.lower())


def _fields(event: Event) -> dict[str, Any]:
    fields = asdict(event)
    return _plain(fields | fields.pop("losses", {}) | fields.pop("metrics", {}))


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in fields.items()}
