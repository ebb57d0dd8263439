"""All output of the commands, and the HTML pages that they write.

stdout carries data and, with `--json`, one object per line; everything else goes to stderr. A live
display appears only on a terminal; otherwise a line every few seconds reports the progress.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console as RichConsole

from hifigan_cli.errors import HifiganError, UsageError
from hifigan_cli.io.files import check_output, write_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from rich.table import Table

SCHEMA = 1
_LINE_INTERVAL_S = 5.0
_PIPE_WIDTH = 1000  # avoids line breaks in tables that programs read


class Console:
    """The output of one command.

    Attributes:
        json: whether results go to stdout as JSON lines.
        quiet: whether to hide notes and progress; warnings and errors are always printed.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self.json = json
        self.quiet = quiet
        self.stderr = RichConsole(stderr=True, highlight=False, soft_wrap=True, emoji=False)
        self.stdout = RichConsole(highlight=False, soft_wrap=True, emoji=False)
        if not self.stdout.is_terminal:
            self.stdout.width = _PIPE_WIDTH

    def note(self, text: str) -> None:
        """Print a note on stderr."""
        if not self.quiet:
            self.stderr.print(text, markup=False)

    def warn(self, text: str) -> None:
        """Print a warning on stderr."""
        self.stderr.print("[yellow]warning:[/] ", end="")
        self.stderr.print(text, markup=False)

    def result(self, event: str, text: str, **fields: Any) -> None:
        """Report a result: a line on stderr, or with `--json` an object on stdout."""
        if self.json:
            self.emit(event, **fields)
        else:
            self.note(text)

    def data(self, event: str, renderable: Any, **fields: Any) -> None:
        """Print the requested data on stdout: a table or text, or with `--json` an object."""
        if self.json:
            self.emit(event, **fields)
        else:
            self.stdout.print(renderable, markup=False)

    def emit(self, event: str, **fields: Any) -> None:
        """Write one JSON object to stdout."""
        sys.stdout.write(json.dumps({"schema": SCHEMA, "event": event, **fields}) + "\n")
        sys.stdout.flush()

    def error(self, error: HifiganError) -> None:
        """Print an error and its hint on stderr; with `--json` also write an object to stdout."""
        self.stderr.print("[bold red]error:[/] ", end="")
        self.stderr.print(error.message, markup=False)
        if error.hint:
            self.stderr.print("[bold]help:[/] ", end="")
            self.stderr.print(error.hint, markup=False)
        if self.json:
            self.emit(
                "error",
                kind=type(error).__name__,
                message=error.message,
                hint=error.hint,
                exit_code=error.exit_code,
            )

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[[int, str], None]]:
        """Yield a function that reports progress; it takes the number done and the current item."""
        if self.quiet:
            yield lambda _done, _current: None
        elif sys.stderr.isatty():  # rich would treat FORCE_COLOR as a terminal
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
            from rich.progress import TimeRemainingColumn as Remaining

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            with Progress(*columns, Remaining(), console=self.stderr, transient=True) as bar:
                task = bar.add_task(title, total=total)
                yield lambda done, _current: bar.update(task, completed=done)
        else:
            yield self._line_progress(title, total)

    def _line_progress(self, title: str, total: int) -> Callable[[int, str], None]:
        last_line_s = time.monotonic()

        def advance(done: int, current: str) -> None:
            nonlocal last_line_s
            if time.monotonic() - last_line_s >= _LINE_INTERVAL_S and done < total:
                last_line_s = time.monotonic()
                self.note(f"{title}: {done} of {total}  {current}".rstrip())

        return advance


def new_table(
    text_columns: Sequence[str], number_columns: Sequence[str] = (), *, header: bool = True
) -> Table:
    """Return an empty table with text columns, then right-aligned number columns."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=header)
    for heading in text_columns:
        table.add_column(heading, overflow="fold")
    for heading in number_columns:
        table.add_column(heading, justify="right")
    return table


def check_page(path: Path, force: bool) -> None:
    """Check that an HTML page can be written, before any computation.

    The extension must be .html or .htm; otherwise --force could overwrite a recording by mistake.

    Raises:
        UsageError: the extension is not .html or .htm.
        OutputError: the page exists, or its folder cannot be written.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{path}: an HTML page needs the extension .html", f"use {path}.html")
    check_output(path, force)


def write_page(
    console: Console, path: Path, page: str, summary: str = "", event: str = "page", **fields: Any
) -> None:
    """Write an HTML page atomically and report it; invalid Unicode in file names becomes "?".

    Raises:
        OutputError: the file cannot be written.
    """
    content = page.encode(errors="replace")
    write_bytes(path, content)
    text = f"{path}: {summary}{len(content) / 1e6:.1f} MB"
    console.result(event, text, target=str(path), bytes=len(content), **fields)
