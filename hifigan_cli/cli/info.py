"""`hifigan info`: what a file is; or, with --resolved, what the configuration is and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console, check_page, new_table, write_page

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST_LIST = 16  # values; of a longer list their number is printed


def info(
    path: Annotated[
        Path | None,
        typer.Argument(
            readable=False, help="A model, checkpoint, run, prepared folder, recording or mel."
        ),
    ] = None,
    resolved: Annotated[
        bool,
        typer.Option("--resolved", help="Print every configuration value and where it came from."),
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="Of a run: write a page, one file, of curves and clips."),
    ] = None,
    config: options.ConfigFile = None,
    preset: options.Preset = None,
    sets: options.Sets = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Say what a file or folder is, or how the configuration resolves.

    The page of a run may be written at any time, also while training goes on.
    """
    import os

    from rich.text import Text  # plain: the brackets of a list are not markup

    from hifigan_cli.errors import UsageError

    console = Console(json=json)
    if resolved == (path is not None):
        raise UsageError("info takes a file, or --resolved", "hifigan info FILE")
    if path is None and html:
        raise UsageError("--html is for training runs", "hifigan info RUN --html page.html")
    rows: list[tuple[str, ...]]
    fields: dict[str, Any]
    if path is None:
        from hifigan_cli.config import resolve

        result = resolve(preset, config, os.environ, sets or ())
        values = dict(_flat(result.config.model_dump(mode="json")))
        rows = [(key, _plain(value), result.sources[key]) for key, value in values.items()]
        event, fields = "resolved", {"values": values, "sources": result.sources}
    elif html:
        from hifigan_cli.reports.training import page_of_run

        check_page(html, force)
        write_page(console, html, page_of_run(path))
        return
    else:
        from hifigan_cli.reports.describe import describe

        found = describe(path)
        rows = [("what", found.kind)]
        rows += [(key, _plain(value)) for key, value in _flat(found.facts)]
        event, fields = "info", {"path": str(path), "kind": found.kind, "facts": found.facts}
    table = new_table([""] * len(rows[0]), header=False)
    for row in rows:
        table.add_row(*map(Text, row))
    console.data(event, table, **fields)


def _flat(facts: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in facts.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list) and len(value) > _LONGEST_LIST:
        return f"{len(value)} values"
    return "-" if value is None or value in ([], {}) else str(value)
