"""`-` as an input or an output."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hifigan_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hifigan_cli.cli.console import Console

PIPE = Path("-")


def is_piped(console: Console, sources: Sequence[Path], out: Path) -> bool:
    """Tell whether stdin or stdout takes part, and check that it can.

    Raises:
        UsageError: several inputs, or a stdout that is a terminal or carries JSON.
    """
    if PIPE not in (*sources, out):
        return False
    if len(sources) > 1:
        raise UsageError("a pipe takes one input", "name files and a folder instead of -")
    if out == PIPE and console.json:
        raise UsageError("stdout cannot carry both data and --json", "write to a file")
    if out == PIPE and sys.stdout.isatty():
        raise UsageError(
            "binary data is not written to a terminal", "redirect stdout, or name a file with -o"
        )
    return True


def source_of(path: Path) -> Path | bytes:
    """Return a path as it is, and `-` as the bytes of stdin."""
    return sys.stdin.buffer.read() if path == PIPE else path


def write_stdout(content: bytes) -> None:
    """Write bytes to stdout, all of them."""
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
