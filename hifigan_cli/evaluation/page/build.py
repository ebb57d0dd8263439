"""Content -> one HTML file: style and script within it, and a policy that forbids the network."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from hifigan_cli.evaluation.page.media import picture_address, sound_address

if TYPE_CHECKING:
    from hifigan_cli.evaluation.page.content import PageContent, ShownClip, Version

# Nothing is loaded from anywhere: sound and pictures are `data:`, style and script are within.
_POLICY = (
    "default-src 'none'; img-src data:; media-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)
_KEYS = (
    ("j k", "next and previous clip"),
    ("1 2 ...", "play that version, from where the last one stood"),
    ("space", "pause, and go on"),
)


def build_page(content: PageContent) -> str:
    """Return the HTML of a page."""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(content.title)}</title>",
        f"<style>{_resource('listening.css')}</style></head><body>",
        f"<header><h1>{escape(content.title)}</h1>{_summary(content)}{_keys()}</header><main>",
        _table(content),
        *(_clip(number, clip) for number, clip in enumerate(content.clips, 1)),
        f"</main><script>{_resource('listening.js')}</script></body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _resource(name: str) -> str:
    return files("hifigan_cli.evaluation.page").joinpath(name).read_text("utf-8")


def _summary(content: PageContent) -> str:
    if not content.summary:
        return ""
    items = (f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>" for label, text in content.summary)
    return f"<dl>{''.join(items)}</dl>"


def _keys() -> str:
    keys = (f"<kbd>{escape(key)}</kbd> {escape(what)}" for key, what in _KEYS)
    return f"<p class='keys'>{' · '.join(keys)}</p>"


def _table(content: PageContent) -> str:
    """Lay out the figures; each head is a button that sorts by its column."""
    if not content.rows:
        return ""
    numbers = {clip.name: number for number, clip in enumerate(content.clips, 1)}
    heads = [_head("clip", "")]
    heads += [_head(heading.title, heading.unit) for heading in content.headings]
    rows = []
    for name, figures in content.rows:
        label = escape(name)
        if name in numbers:
            label = f'<a href="#clip-{numbers[name]}">{label}</a>'
        cells = [f'<th scope="row" data-value="{escape(name)}">{label}</th>']
        for heading in content.headings:
            value = figures.get(heading.key)
            shown = "-" if value is None else f"{value:.{heading.digits}f}"
            known = "" if value is None else repr(float(value))
            cells.append(f'<td data-value="{known}">{shown}</td>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="figures of all clips">'
        f'<table id="figures"><thead><tr>{"".join(heads)}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _head(title: str, unit: str) -> str:
    small = f"<small>{escape(unit)}</small>" if unit else ""
    return f'<th scope="col"><button type="button">{escape(title)}{small}</button></th>'


def _clip(number: int, clip: ShownClip) -> str:
    versions = "".join(_version(place, version) for place, version in enumerate(clip.versions, 1))
    return (
        f'<section class="clip" id="clip-{number}" tabindex="-1" aria-labelledby="name-{number}">'
        f'<h2 id="name-{number}">{escape(clip.name)}</h2>'
        f'<div class="versions">{versions}</div></section>'
    )


def _version(place: int, version: Version) -> str:
    title = escape(version.title)
    return (
        f"<figure><figcaption><kbd>{place}</kbd> {title}</figcaption>"
        f'<div class="picture"><img src="{picture_address(version.audio)}" '
        f'alt="spectrogram, {title}"><span class="cursor"></span></div>'
        f'<audio controls preload="metadata" src="{sound_address(version.audio)}" '
        f'aria-label="{title}"></audio></figure>'
    )
