"""The frame of every page: style and script within it, and a policy that forbids the network."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Nothing is loaded from anywhere: sound and pictures are `data:`, style and script are within.
_POLICY = (
    "default-src 'none'; img-src data:; media-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)


def document(title: str, header: Iterable[str], main: Iterable[str]) -> str:
    """Return a whole HTML page of parts that are HTML already; empty ones are left out."""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>",
        f"<style>{_resource('listening.css')}</style></head><body>",
        f"<header><h1>{escape(title)}</h1>{''.join(header)}</header><main>",
        *main,
        f"</main><script>{_resource('listening.js')}</script></body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def definitions(facts: Sequence[tuple[str, str]]) -> str:
    """Return labels and texts as a list; nothing for none."""
    if not facts:
        return ""
    items = (f"<div><dt>{escape(label)}</dt><dd>{escape(text)}</dd></div>" for label, text in facts)
    return f"<dl>{''.join(items)}</dl>"


def _resource(name: str) -> str:
    return files("hifigan_cli.reports").joinpath(name).read_text("utf-8")
