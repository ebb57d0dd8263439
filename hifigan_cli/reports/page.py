"""A page: what it shows, and its HTML.

Style and script stand in the page, sound and pictures are `data:` addresses, and a policy forbids
the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from hifigan_cli.reports.media import picture_address, sound_address

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hifigan_cli.audio.reading import Audio

    Row = tuple[str, Mapping[str, float | None]]

_POLICY = (
    "default-src 'none'; img-src data:; media-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)
_KEYS = (
    ("j k", "next and previous clip"),
    ("1 2 ...", "play that version, from where the last one stopped"),
    ("space", "pause and continue"),
)


@dataclass(frozen=True)
class Version:
    """One version of a clip: its title ("recording", "result"), and the sound."""

    title: str
    audio: Audio


@dataclass(frozen=True)
class Picture:
    """A picture without sound: its title, its `data:` address, and what it shows, in words."""

    title: str
    address: str
    words: str


@dataclass(frozen=True)
class ShownClip:
    """A clip to hear and to see: its name, its versions, more pictures, and facts about it."""

    name: str
    versions: Sequence[Version]
    pictures: Sequence[Picture] = ()
    facts: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Heading:
    """A column of the page's table: its key, title, unit, and digits after the point."""

    key: str
    title: str
    unit: str = ""
    digits: int = 3


@dataclass(frozen=True)
class ColorScale:
    """The meaning of a picture's colors: CSS colors in order, and words for both ends."""

    title: str
    colors: Sequence[str]
    low: str
    high: str


def build_page(
    title: str,
    clips: Sequence[ShownClip],
    summary: Sequence[tuple[str, str]],
    headings: Sequence[Heading],
    rows: Sequence[Row],
    scales: Sequence[ColorScale] = (),
) -> str:
    """Return the HTML of a page with clips to hear and a table of values.

    Args:
        title: of the page.
        clips: to hear, in this order.
        summary: lines above the table, as label and text.
        headings: the columns of the table.
        rows: a name and values by heading for each clip, also for clips that are not shown.
        scales: the colors of the pictures, explained.
    """
    header = [definitions(summary), keys_line(), *map(_scale, scales)]
    return document(title, header, [_table(clips, headings, rows), *clip_sections(clips)])


def document(title: str, header: Iterable[str], main: Iterable[str]) -> str:
    """Return a complete HTML page of parts that are HTML already; empty ones are left out."""
    resources = files("hifigan_cli.reports")
    style, script = (
        resources.joinpath(name).read_text("utf-8") for name in ("listening.css", "listening.js")
    )
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>",
        f"<style>{style}</style></head><body>",
        f"<header><h1>{escape(title)}</h1>{''.join(header)}</header><main>",
        *main,
        f"</main><script>{script}</script></body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def definitions(facts: Sequence[tuple[str, str]]) -> str:
    """Return labels and texts as a list; nothing for none."""
    if not facts:
        return ""
    items = (f"<div><dt>{escape(label)}</dt><dd>{escape(text)}</dd></div>" for label, text in facts)
    return f"<dl>{''.join(items)}</dl>"


def keys_line() -> str:
    """Return a line that explains the keys of a page with clips."""
    keys = (f"<kbd>{escape(key)}</kbd> {escape(action)}" for key, action in _KEYS)
    return f"<p class='keys'>{' · '.join(keys)}</p>"


def details(title: str, content: str) -> str:
    """Return HTML that a reader opens by its title; nothing for none."""
    return content and f"<details><summary>{title}</summary>{content}</details>"


def clip_sections(clips: Sequence[ShownClip]) -> list[str]:
    """Return a section for each clip."""
    return [_clip(number, clip) for number, clip in enumerate(clips, 1)]


def _scale(scale: ColorScale) -> str:
    bar = f'<span class="bar" style="background:linear-gradient(90deg,{",".join(scale.colors)})">'
    low, high = escape(scale.low), escape(scale.high)
    return f'<p class="scale">{escape(scale.title)}: {low} {bar}</span> {high}</p>'


def _table(clips: Sequence[ShownClip], headings: Sequence[Heading], rows: Sequence[Row]) -> str:
    """Return the table of values; each head is a button that sorts by its column."""
    if not rows:
        return ""
    numbers = {clip.name: number for number, clip in enumerate(clips, 1)}
    heads = "".join(map(_head, (Heading("", "clip"), *headings)))
    body = ""
    for name, values in rows:
        label = escape(name)
        if name in numbers:
            label = f'<a href="#clip-{numbers[name]}">{label}</a>'
        cells = [f'<th scope="row" data-value="{escape(name)}">{label}</th>']
        for heading in headings:
            value = values.get(heading.key)
            shown = "-" if value is None else f"{value:.{heading.digits}f}"
            known = "" if value is None else repr(float(value))
            cells.append(f'<td data-value="{known}">{shown}</td>')
        body += f"<tr>{''.join(cells)}</tr>"
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="values of all clips">'
        f'<table id="figures"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _head(heading: Heading) -> str:
    unit = f"<small>{escape(heading.unit)}</small>" if heading.unit else ""
    return f'<th scope="col"><button type="button">{escape(heading.title)}{unit}</button></th>'


def _clip(number: int, clip: ShownClip) -> str:
    versions = "".join(_version(place, version) for place, version in enumerate(clip.versions, 1))
    pictures = "".join(map(_picture, clip.pictures))
    return (
        f'<section class="clip" id="clip-{number}" tabindex="-1" aria-labelledby="name-{number}">'
        f'<h2 id="name-{number}">{escape(clip.name)}</h2>{definitions(clip.facts)}'
        f'<div class="versions">{versions}{pictures}</div></section>'
    )


def _version(place: int, version: Version) -> str:
    title = escape(version.title)
    return (
        f'<figure class="version"><figcaption><kbd>{place}</kbd> {title}</figcaption>'
        f'<div class="picture"><img src="{picture_address(version.audio)}" '
        f'alt="spectrogram, {title}"><span class="cursor"></span></div>'
        f'<audio controls preload="metadata" src="{sound_address(version.audio)}" '
        f'aria-label="{title}"></audio></figure>'
    )


def _picture(picture: Picture) -> str:
    return (
        f"<figure><figcaption>{escape(picture.title)}</figcaption>"
        f'<div class="picture"><img src="{picture.address}" alt="{escape(picture.words)}"></div>'
        "</figure>"
    )
