"""`-` for stdin and stdout."""

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
    """Return source and output, with streams instead of `-`; return None if neither is `-`.

    Raises:
        UsageError: there are several inputs, or stdout is a terminal or carries JSON.
    """
    if PIPE not in (*sources, out):
        return None
    if len(sources) > 1:
        raise UsageError(
            "- cannot be combined with other inputs", "use files and an output folder instead of -"
        )
    if out == PIPE and console.json:
        raise UsageError("-o - and --json both need stdout", "use -o FILE")
    if out == PIPE and sys.stdout.isatty():
        raise UsageError(
            "binary data cannot be printed on a terminal", "redirect stdout, or use -o FILE"
        )
    source = _stdin() if sources[0] == PIPE else sources[0]
    return source, sys.stdout.buffer if out == PIPE else out


def _stdin() -> IO[bytes]:
    """Return unbuffered stdin, so that a read returns as soon as data arrives."""
    stream = sys.stdin.buffer
    return stream.raw if isinstance(stream, io.BufferedReader) else stream
