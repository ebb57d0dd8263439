"""The pages that commands write: where one may go, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hifigan_cli.errors import UsageError
from hifigan_cli.io.files import check_output, write_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from hifigan_cli.cli.console import Console


def check_page(path: Path, force: bool) -> None:
    """Refuse a page that cannot be written, before any computing.

    Only a name of a page is taken: with --force, a mistaken one would cost a recording.

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
    """Write a page atomically and say so; names in it that are no text are marked.

    Raises:
        OutputError: the file system refused.
    """
    content = page.encode(errors="replace")
    write_bytes(path, content)
    text = f"{path}: {said}{len(content) / 1e6:.1f} MB"
    console.result(event, text, target=str(path), bytes=len(content), **fields)
