"""`hifigan info`: what a file is; or, with --resolved, what the configuration is and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hifigan_cli.cli import options
from hifigan_cli.cli.console import Console

if TYPE_CHECKING:
    from collections.abc import Sequence


_LISTED = 16  # values in a row; longer ones are counted


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
    from hifigan_cli.errors import UsageError

    console = Console(json=json)
    if resolved == (path is not None):
        raise UsageError("info takes a file, or --resolved", "hifigan info FILE")
    if path is None:
        if html:
            raise UsageError("--html is for training runs", "hifigan info RUN --html page.html")
        _print_resolved(console, config, preset, sets)
        return
    if html:
        from hifigan_cli.cli.page import check_page, write_page
        from hifigan_cli.reports.training import page_of_run

        check_page(html, force)
        write_page(console, html, page_of_run(path))
        return
    from hifigan_cli.reports.describe import describe

    description = describe(path)
    rows = [(key, _plain(value)) for key, value in _flat(description.facts)]
    console.data(
        "info",
        _table([("what", description.kind), *rows]),
        path=str(path),
        kind=description.kind,
        facts=description.facts,
    )


def _print_resolved(
    console: Console, config: Path | None, preset: str | None, sets: list[str] | None
) -> None:
    import os

    from hifigan_cli.config import resolve

    result = resolve(preset, config, os.environ, sets or ())
    values = dict(_flat(result.config.model_dump(mode="json")))
    rows = [(key, _plain(value), result.sources[key]) for key, value in values.items()]
    console.data("resolved", _table(rows), values=values, sources=result.sources)


def _table(rows: Sequence[tuple[str, ...]]) -> Any:
    from rich.table import Table
    from rich.text import Text  # plain: a list's brackets are no markup

    table = Table(box=None, show_header=False, pad_edge=False)
    for _ in rows[0]:
        table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _flat(facts: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in facts.items():
        if isinstance(value, dict) and value:
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", value))
    return rows


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list) and len(value) > _LISTED:
        return f"{len(value)} values"
    return "-" if value is None or value in ([], {}) else str(value)
