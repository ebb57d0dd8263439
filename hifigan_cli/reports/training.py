"""The page of a training run: curves, warnings, configuration, and the last validation clips.

It can be built at any time, also during training. It reads metrics.jsonl, whose last line may be
incomplete, config.toml, and validation_audio/. Each may be missing.
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
    PageClip,
    Version,
    clip_sections,
    definitions,
    details,
    document,
    keyboard_help,
)
from hifigan_cli.training.loggers import read_entries
from hifigan_cli.training.progress import compare_with_official, official_training
from hifigan_cli.training.run_folder import RunFolder
from hifigan_cli.training.validation_audio import read_validation_audio

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hifigan_cli.config import Config
    from hifigan_cli.training.progress import OfficialTraining
    from hifigan_cli.training.validation_audio import SavedClip

    Entries = Sequence[dict[str, Any]]

# Titles of charts, and the keys of `train` lines in each.
_CHARTS = (
    ("Mel loss", ("mel",)),
    ("Generator against the discriminators", ("adversarial", "feature")),
    ("Discriminators", ("discriminator",)),
    ("Learning rate", ("learning_rate",)),
    ("Steps per second", ("steps_per_s",)),
)
_MAX_ROWS = 500


def training_page(path: Path) -> str:
    """Return the page of a training run's folder.

    Raises:
        InputError: the folder is not a run.
    """
    run = RunFolder(path)
    if not is_folder(run.checkpoints):
        raise InputError(f"{path} is not a training run", "a run contains checkpoints/")
    entries = [entry for entry in read_entries(run.metrics) if isinstance(entry, dict)]
    steps, validations, warnings = (
        [entry for entry in entries if entry.get("event") == event and "step" in entry]
        for event in ("train", "validation", "warning")
    )
    config = _config(run)
    # With input mels from other tools, the run recorded no comparison.
    comparable = any("official_converged" in entry for entry in validations)
    official = official_training(config) if config and comparable else None
    audio_step, saved = read_validation_audio(run.validation_audio)
    facts = chain(
        _progress(path, config, steps), _errors(validations, official), _age(run, warnings)
    )
    main = [
        _warnings(warnings),
        _charts(steps, validations, official),
        details("Validations", _validations(validations)),
        details("Configuration", _text(run.config)),
        f"<h2>Validation clips at step {audio_step:,}</h2>{keyboard_help()}" if saved else "",
        *clip_sections([_page_clip(clip) for clip in saved]),
    ]
    return document(f"Training: {path.resolve().name}", [definitions(list(facts))], main)


def _config(run: RunFolder) -> Config | None:
    if not is_file(run.config):
        return None
    try:
        return resolve(file=run.config).config
    except UsageError:  # another version wrote it, or it is damaged; the page shows the text
        return None


def _text(path: Path) -> str:
    text = path.read_text("utf-8", errors="replace") if is_file(path) else ""
    return text and f"<pre>{escape(text)}</pre>"


def _progress(path: Path, config: Config | None, steps: Entries) -> Iterator[tuple[str, str]]:
    yield "folder", str(path)
    if not steps:
        yield "steps", "none logged yet"
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
        comparison = compare_with_official(official, last)
        steps = comparison.official_steps
        equal = f", the error of this run after {steps:,} steps" if steps else ""
        yield (
            f"official {official.preset.upper()}",
            f"{official.converged:g} at its end{equal}; the limit is {official.threshold:g}",
        )


def _age(run: RunFolder, warnings: Entries) -> Iterator[tuple[str, str]]:
    yield "warnings", str(len(warnings)) if warnings else "none"
    if is_file(run.metrics):
        written = time.localtime(run.metrics.stat().st_mtime)
        yield "last metrics", time.strftime("%Y-%m-%d %H:%M:%S %z", written)


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
    curves = [Curve("this run", _points(validations, "mel_l1_full"), exact=len(validations) < 100)]
    if official and official.curve:
        title = f"official {official.preset.upper()}, on LJSpeech"
        curves.append(Curve(title, official.curve, exact=True))
    # The error falls linearly with the logarithm of the steps, and the official run is much longer.
    drawings = [chart("Validation error, mel_l1_full", curves, log_steps=True)]
    for title, keys in _CHARTS:
        drawings.append(
            chart(title, [Curve(key.replace("_", " "), _points(steps, key)) for key in keys])
        )
    level = Curve("level", _points(validations, "level_db"))
    drawings.append(chart("Level relative to the recordings, dB", [level]))
    return f'<section class="charts" aria-label="curves">{"".join(drawings)}</section>'


def _points(entries: Entries, key: str) -> list[tuple[float, float]]:
    return [(entry["step"], entry[key]) for entry in entries if key in entry]


def _validations(validations: Entries) -> str:
    rows = _points(validations, "mel_l1_full")
    cells = "".join(
        f'<tr><th scope="row">{step:,}</th><td>{error:.4f}</td></tr>'
        for step, error in reversed(rows[-_MAX_ROWS:])
    )
    if not cells:
        return ""
    head = '<thead><tr><th scope="col">step</th><th scope="col">mel_l1_full</th></tr></thead>'
    left = len(rows) - _MAX_ROWS
    note = f"<p>{left:,} earlier validations are not shown.</p>" if left > 0 else ""
    return f"<table>{head}<tbody>{cells}</tbody></table>{note}"


def _page_clip(clip: SavedClip) -> PageClip:
    versions = [Version("recording", clip.recording), Version("generated", clip.generated)]
    return PageClip(clip.name, versions)
