"""`-` as an input or an output."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

from hifigan_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hifigan_cli.cli.console import Console

PIPE = Path("-")


def open_pipes(
    console: Console, sources: Sequence[Path], out: Path
) -> tuple[Path | IO[bytes], Path | IO[bytes]] | None:
    """Return source and output, with the standard streams in the place of `-`; None without `-`.

    Raises:
        UsageError: several inputs, or a stdout that is a terminal or carries JSON.
    """
    if PIPE not in (*sources, out):
        return None
    if len(sources) > 1:
        raise UsageError("a pipe takes one input", "name files and a folder instead of -")
    if out == PIPE and console.json:
        raise UsageError("stdout cannot carry both data and --json", "write to a file")
    if out == PIPE and sys.stdout.isatty():
        raise UsageError(
            "binary data is not written to a terminal", "redirect stdout, or name a file with -o"
        )
    source = _stdin() if sources[0] == PIPE else sources[0]
    return source, sys.stdout.buffer if out == PIPE else out


def _stdin() -> IO[bytes]:
    """Return stdin without a buffer: a read gives what is there."""
    stream = sys.stdin.buffer
    return stream.raw if isinstance(stream, io.BufferedReader) else stream
