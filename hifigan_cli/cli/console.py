"""Everything that is printed.

stdout carries data and, with `--json`, one object a line; all else goes to stderr. A live display
appears only on a terminal; elsewhere a line every few seconds says how far the work is.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console as RichConsole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hifigan_cli.errors import HifiganError

SCHEMA = 1
_LINE_EVERY_S = 5.0
_PIPE_WIDTH = 1000  # tables that are read by programs are not folded


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
        """Say something useful on stderr."""
        if not self.quiet:
            self.stderr.print(text, markup=False)

    def warn(self, text: str) -> None:
        """Say on stderr what the user should know about the result."""
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
        """Print what happened and how to mend it; with `--json` an object on stdout too."""
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
        """Yield a function that takes how many of `total` are done, and what is at hand."""
        if self.quiet:
            yield lambda _done, _current: None
        elif sys.stderr.isatty():  # rich would take FORCE_COLOR for a terminal
            yield from self._live(title, total)
        else:
            yield self._lines(title, total)

    def _live(self, title: str, total: int) -> Iterator[Callable[[int, str], None]]:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as Remaining

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
        with Progress(*columns, console=self.stderr, transient=True) as bar:
            task = bar.add_task(title, total=total)
            yield lambda done, _current: bar.update(task, completed=done)

    def _lines(self, title: str, total: int) -> Callable[[int, str], None]:
        last = time.monotonic()

        def advance(done: int, current: str) -> None:
            nonlocal last
            if time.monotonic() - last >= _LINE_EVERY_S and done < total:
                last = time.monotonic()
                self.note(f"{title}: {done} of {total}  {current}".rstrip())

        return advance
