"""A training run as a page: curves, warnings, configuration, and the last clips to hear.

It shows what the run's folder holds, at any time, also while training goes on: metrics.jsonl, whose
last line may be half written, config.toml, and validation_audio/. Each may be missing.
"""

from __future__ import annotations

import time
from html import escape
from itertools import chain
from typing import TYPE_CHECKING, Any

from hifigan_cli.config import resolve
from hifigan_cli.errors import InputError, UsageError
from hifigan_cli.io.files import is_file, is_folder
from hifigan_cli.reports.curves import Curve, chart
from hifigan_cli.reports.page import (
    ShownClip,
    Version,
    clip_sections,
    definitions,
    details,
    document,
    keys_line,
)
from hifigan_cli.training.loggers import read_entries
from hifigan_cli.training.progress import official_training, stand
from hifigan_cli.training.run_folder import RunFolder
from hifigan_cli.training.validation_audio import read_validation_audio

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hifigan_cli.config import Config
    from hifigan_cli.training.progress import OfficialTraining
    from hifigan_cli.training.validation_audio import SavedClip

    Entries = Sequence[dict[str, Any]]

# Titles, and the keys of `train` lines that are drawn together.
_CHARTS = (
    ("Mel loss", ("mel",)),
    ("Generator against the discriminators", ("adversarial", "feature")),
    ("Discriminators", ("discriminator",)),
    ("Learning rate", ("learning_rate",)),
    ("Steps a second", ("steps_per_s",)),
)
_MOST_ROWS = 500


def page_of_run(path: Path) -> str:
    """Return the page of a training run's folder.

    Raises:
        InputError: the folder holds no run.
    """
    run = RunFolder(path)
    if not is_folder(run.checkpoints):
        raise InputError(f"{path} is not a training run", "a run holds checkpoints/")
    entries = [entry for entry in read_entries(run.metrics) if isinstance(entry, dict)]
    steps, validations, warnings = (
        [entry for entry in entries if entry.get("event") == event and "step" in entry]
        for event in ("train", "validation", "warning")
    )
    config = _config(run)
    # The run recorded whether they are comparable: with mels from outside they are not.
    compared = any("official_converged" in entry for entry in validations)
    official = official_training(config) if config and compared else None
    audio_step, saved = read_validation_audio(run.validation_audio)
    facts = chain(
        _standing(path, config, steps), _errors(validations, official), _age(run, warnings)
    )
    main = [
        _warnings(warnings),
        _charts(steps, validations, official),
        details("Validations", _validations(validations)),
        details("Configuration", _text(run.config)),
        f"<h2>Validation clips at step {audio_step:,}</h2>{keys_line()}" if saved else "",
        *clip_sections([_shown(clip) for clip in saved]),
    ]
    return document(f"Training: {path.resolve().name}", [definitions(list(facts))], main)


def _config(run: RunFolder) -> Config | None:
    if not is_file(run.config):
        return None
    try:
        return resolve(file=run.config).config
    except UsageError:  # of another version, or damaged; shown as it is
        return None


def _text(path: Path) -> str:
    text = path.read_text("utf-8", errors="replace") if is_file(path) else ""
    return text and f"<pre>{escape(text)}</pre>"


def _standing(path: Path, config: Config | None, steps: Entries) -> Iterator[tuple[str, str]]:
    yield "folder", str(path)
    if not steps:
        yield "steps", "none was logged yet"
        return
    last = steps[-1]["step"]
    speed = steps[-1].get("steps_per_s")
    yield "steps", f"{last:,} of {config.train.steps:,}" if config else f"{last:,}"
    if speed:
        yield "speed", f"{speed:.3g} steps/s"


def _errors(validations: Entries, official: OfficialTraining | None) -> Iterator[tuple[str, str]]:
    measured = _points(validations, "mel_l1_full")
    if not measured:
        return
    (step, last), best = measured[-1], min(measured, key=lambda point: point[1])
    yield "validation error", f"mel_l1_full {last:.4f} at step {step:,}"
    yield "best", f"{best[1]:.4f} at step {best[0]:,}"
    if official:
        found = stand(official, last)
        like = f", this one after {found.official_steps:,} steps" if found.official_steps else ""
        yield (
            f"official {official.preset.upper()}",
            f"{official.converged:g} at its end{like}; the bar of its class is {official.bar:g}",
        )


def _age(run: RunFolder, warnings: Entries) -> Iterator[tuple[str, str]]:
    yield "warnings", str(len(warnings)) if warnings else "none"
    if is_file(run.metrics):
        written = time.localtime(run.metrics.stat().st_mtime)
        yield "last figures", time.strftime("%Y-%m-%d %H:%M:%S %z", written)


def _warnings(warnings: Entries) -> str:
    if not warnings:
        return ""
    items = (
        f"<li><b>step {entry['step']:,}</b>: {escape(str(entry.get('message', '')))}. "
        f"<i>{escape(str(entry.get('hint', '')))}</i></li>"
        for entry in warnings
    )
    return f'<section class="warnings"><h2>Warnings</h2><ul>{"".join(items)}</ul></section>'


def _charts(steps: Entries, validations: Entries, official: OfficialTraining | None) -> str:
    curves = [Curve("this run", _points(validations, "mel_l1_full"), known=len(validations) < 100)]
    if official and official.curve:
        title = f"official {official.preset.upper()}, on LJSpeech"
        curves.append(Curve(title, official.curve, known=True))
    # Errors fall evenly with the logarithm of the steps, and the official run is far ahead.
    drawings = [chart("Validation error, mel_l1_full", curves, log_steps=True)]
    for title, keys in _CHARTS:
        drawings.append(
            chart(title, [Curve(key.replace("_", " "), _points(steps, key)) for key in keys])
        )
    level = Curve("level", _points(validations, "level_db"))
    drawings.append(chart("Level against the recordings, dB", [level]))
    return f'<section class="charts" aria-label="curves">{"".join(drawings)}</section>'


def _points(entries: Entries, key: str) -> list[tuple[float, float]]:
    return [(entry["step"], entry[key]) for entry in entries if key in entry]


def _validations(validations: Entries) -> str:
    rows = _points(validations, "mel_l1_full")
    cells = "".join(
        f'<tr><th scope="row">{step:,}</th><td>{error:.4f}</td></tr>'
        for step, error in reversed(rows[-_MOST_ROWS:])
    )
    if not cells:
        return ""
    head = '<thead><tr><th scope="col">step</th><th scope="col">mel_l1_full</th></tr></thead>'
    left = len(rows) - _MOST_ROWS
    note = f"<p>{left:,} earlier ones are not shown.</p>" if left > 0 else ""
    return f"<table>{head}<tbody>{cells}</tbody></table>{note}"


def _shown(clip: SavedClip) -> ShownClip:
    versions = [Version("recording", clip.recording), Version("generated", clip.generated)]
    return ShownClip(clip.name, versions)
