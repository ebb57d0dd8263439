"""Everything that commands print, and the HTML pages that they write.

stdout carries data and, with `--json`, one object a line; everything else goes to stderr. A live
display appears only on a terminal; elsewhere a line every few seconds reports the progress.
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
_LINE_EVERY_S = 5.0
_PIPE_WIDTH = 1000  # programs read tables without folds


class Console:
    """Prints for one command.

    Attributes:
        json: whether results go to stdout as JSON lines.
        quiet: whether notes and progress are left out; warnings and errors are not.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self.json = json
        self.quiet = quiet
        self.stderr = RichConsole(stderr=True, highlight=False, soft_wrap=True, emoji=False)
        self.stdout = RichConsole(highlight=False, soft_wrap=True, emoji=False)
        if not self.stdout.is_terminal:
            self.stdout.width = _PIPE_WIDTH

    def note(self, text: str) -> None:
        """Print a useful remark on stderr."""
        if not self.quiet:
            self.stderr.print(text, markup=False)

    def warn(self, text: str) -> None:
        """Print on stderr what the user should know about the result."""
        self.stderr.print("[yellow]warning:[/] ", end="")
        self.stderr.print(text, markup=False)

    def result(self, event: str, text: str, **fields: Any) -> None:
        """Report a result: a line for people, or with `--json` an object on stdout."""
        if self.json:
            self.emit(event, **fields)
        else:
            self.note(text)

    def data(self, event: str, renderable: Any, **fields: Any) -> None:
        """Print what the command was asked for on stdout: a table or text, or its JSON object."""
        if self.json:
            self.emit(event, **fields)
        else:
            self.stdout.print(renderable, markup=False)

    def emit(self, event: str, **fields: Any) -> None:
        """Write one JSON object to stdout."""
        sys.stdout.write(json.dumps({"schema": SCHEMA, "event": event, **fields}) + "\n")
        sys.stdout.flush()

    def error(self, error: HifiganError) -> None:
        """Print what happened and how to fix it; with `--json` an object on stdout too."""
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
        """Yield a function that takes how many of `total` are done, and the current item."""
        if self.quiet:
            yield lambda _done, _current: None
        elif sys.stderr.isatty():  # rich would take FORCE_COLOR for a terminal
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
            from rich.progress import TimeRemainingColumn as Remaining

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            with Progress(*columns, Remaining(), console=self.stderr, transient=True) as bar:
                task = bar.add_task(title, total=total)
                yield lambda done, _current: bar.update(task, completed=done)
        else:
            yield self._lines(title, total)

    def _lines(self, title: str, total: int) -> Callable[[int, str], None]:
        last = time.monotonic()

        def advance(done: int, current: str) -> None:
            nonlocal last
            if time.monotonic() - last >= _LINE_EVERY_S and done < total:
                last = time.monotonic()
                self.note(f"{title}: {done} of {total}  {current}".rstrip())

        return advance


def new_table(words: Sequence[str], numbers: Sequence[str] = (), *, header: bool = True) -> Table:
    """Return an empty table: columns of words, then columns of numbers, flush right."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=header)
    for heading in words:
        table.add_column(heading, overflow="fold")
    for heading in numbers:
        table.add_column(heading, justify="right")
    return table


def check_page(path: Path, force: bool) -> None:
    """Refuse a page that cannot be written, before any computing.

    With --force, a mistaken name could overwrite a recording; so it must be that of a page.

    Raises:
        UsageError: the name is not one of a page.
        OutputError: it exists, or its folder cannot be written.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{path}: the name of a page ends in .html", f"name it {path}.html")
    check_output(path, force)


def write_page(
    console: Console, path: Path, page: str, said: str = "", event: str = "page", **fields: Any
) -> None:
    """Write a page atomically and report it; names that are not text are marked.

    Raises:
        OutputError: the file system refused.
    """
    content = page.encode(errors="replace")
    write_bytes(path, content)
    text = f"{path}: {said}{len(content) / 1e6:.1f} MB"
    console.result(event, text, target=str(path), bytes=len(content), **fields)
