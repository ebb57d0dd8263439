"""`hifigan info`: describe a file or folder, or with --resolved the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console, check_page, new_table, write_page

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_LIST_LENGTH = 16  # only the length of a longer list is printed


def info(
    path: Annotated[
        Path | None,
        typer.Argument(
            readable=False,
            help="Model, checkpoint, training run, prepared folder, recording or mel file.",
        ),
    ] = None,
    resolved: Annotated[
        bool,
        typer.Option("--resolved", help="Print every configuration value and its source."),
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            help="Write a self-contained page with the curves and audio clips of a training run.",
        ),
    ] = None,
    config: options.ConfigFile = None,
    preset: options.Preset = None,
    overrides: options.Overrides = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Describe a file or folder, or print the resolved configuration.

    --html also works while the training run is still in progress.
    """
    import os

    from rich.text import Text  # brackets in a Text are not markup

    from hifigan_cli.errors import UsageError

    console = Console(json=json)
    if resolved == (path is not None):
        raise UsageError("info needs either a file or --resolved", "use `hifigan info FILE`")
    if path is None and html:
        raise UsageError("--html needs a training run", "use `hifigan info RUN --html page.html`")
    rows: list[tuple[str, ...]]
    fields: dict[str, Any]
    if path is None:
        from hifigan_cli.config import resolve

        result = resolve(preset, config, os.environ, overrides or ())
        values = dict(_flatten(result.config.model_dump(mode="json")))
        rows = [(key, _format(value), result.sources[key]) for key, value in values.items()]
        event, fields = "resolved", {"values": values, "sources": result.sources}
    elif html:
        from hifigan_cli.reports.training import training_page

        check_page(html, force)
        write_page(console, html, training_page(path))
        return
    else:
        from hifigan_cli.importers.pretrained import PRETRAINED_MODELS, pretrained_path
        from hifigan_cli.reports.describe import describe

        if str(path) in PRETRAINED_MODELS and not path.exists():
            path = pretrained_path(str(path))
        description = describe(path)
        kind, facts = description.kind, description.facts
        rows = [("kind", kind), *((key, _format(value)) for key, value in _flatten(facts))]
        event, fields = "info", {"path": str(path), "kind": kind, "facts": facts}
    table = new_table([""] * len(rows[0]), header=False)
    for row in rows:
        table.add_row(*map(Text, row))
    console.data(event, table, **fields)


def _flatten(facts: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in facts.items():
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _format(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list) and len(value) > _MAX_LIST_LENGTH:
        return f"{len(value)} values"
    return "-" if value is None or value in ([], {}) else str(value)
