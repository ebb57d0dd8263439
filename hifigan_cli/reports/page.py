"""The parts of a page, and its HTML.

Style and script are inline, audio and pictures are `data:` URLs, and a policy forbids network
access.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from hifigan_cli.reports.media import audio_data_url, mel_data_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hifigan_cli.audio.reading import Audio

    Row = tuple[str, Mapping[str, float | None]]

_POLICY = (
    "default-src 'none'; img-src data:; media-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)
_SHORTCUTS = (
    ("j k", "next and previous clip"),
    ("1 2 ...", "play that version from the current position"),
    ("space", "pause and continue"),
)


@dataclass(frozen=True)
class Version:
    """One version of a clip: its title ("recording", "result") and its audio."""

    title: str
    audio: Audio


@dataclass(frozen=True)
class Picture:
    """A picture without audio: its title, its `data:` URL, and its alternative text."""

    title: str
    url: str
    alt: str


@dataclass(frozen=True)
class PageClip:
    """A clip with a player and a spectrogram per version, more pictures, and facts about it."""

    name: str
    versions: Sequence[Version]
    pictures: Sequence[Picture] = ()
    facts: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class TableColumn:
    """A column of the page's table: its key, title, unit, and number of decimals."""

    key: str
    title: str
    unit: str = ""
    digits: int = 3


@dataclass(frozen=True)
class ColorScale:
    """The legend of a picture's colors: CSS colors in order, and a text for both ends."""

    title: str
    colors: Sequence[str]
    low: str
    high: str


def build_page(
    title: str,
    clips: Sequence[PageClip],
    summary: Sequence[tuple[str, str]],
    columns: Sequence[TableColumn],
    rows: Sequence[Row],
    scales: Sequence[ColorScale] = (),
) -> str:
    """Return the HTML of a page with clips and a table of values.

    Args:
        title: the title of the page.
        clips: the clips with players, in this order.
        summary: lines above the table, as label and text.
        columns: the columns of the table.
        rows: for each clip, with or without players, its name and its values by column key.
        scales: the legends of the pictures' colors.
    """
    header = [definitions(summary), keyboard_help(), *map(_scale, scales)]
    return document(title, header, [_table(clips, columns, rows), *clip_sections(clips)])


def document(title: str, header: Iterable[str], main: Iterable[str]) -> str:
    """Return a complete HTML page from parts in HTML, omitting empty ones."""
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
    """Return labels and texts as a definition list, or nothing if there are none."""
    if not facts:
        return ""
    items = (f"<div><dt>{escape(label)}</dt><dd>{escape(text)}</dd></div>" for label, text in facts)
    return f"<dl>{''.join(items)}</dl>"


def keyboard_help() -> str:
    """Return a line that explains the keys for a page with clips."""
    keys = (f"<kbd>{escape(key)}</kbd> {escape(action)}" for key, action in _SHORTCUTS)
    return f"<p class='keys'>{' · '.join(keys)}</p>"


def details(title: str, content: str) -> str:
    """Return content that opens on a click on its title, or nothing if it is empty."""
    return content and f"<details><summary>{title}</summary>{content}</details>"


def clip_sections(clips: Sequence[PageClip]) -> list[str]:
    """Return a section for each clip."""
    return [_clip(number, clip) for number, clip in enumerate(clips, 1)]


def _scale(scale: ColorScale) -> str:
    bar = f'<span class="bar" style="background:linear-gradient(90deg,{",".join(scale.colors)})">'
    low, high = escape(scale.low), escape(scale.high)
    return f'<p class="scale">{escape(scale.title)}: {low} {bar}</span> {high}</p>'


def _table(clips: Sequence[PageClip], columns: Sequence[TableColumn], rows: Sequence[Row]) -> str:
    """Return the table of values; each column head is a button that sorts by the column."""
    if not rows:
        return ""
    numbers = {clip.name: number for number, clip in enumerate(clips, 1)}
    heads = "".join(map(_head, (TableColumn("", "clip"), *columns)))
    body = ""
    for name, values in rows:
        label = escape(name)
        if name in numbers:
            label = f'<a href="#clip-{numbers[name]}">{label}</a>'
        cells = [f'<th scope="row" data-value="{escape(name)}">{label}</th>']
        for column in columns:
            value = values.get(column.key)
            text = "-" if value is None else f"{value:.{column.digits}f}"
            sort_key = "" if value is None else repr(float(value))
            cells.append(f'<td data-value="{sort_key}">{text}</td>')
        body += f"<tr>{''.join(cells)}</tr>"
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="values of all clips">'
        f'<table id="values"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _head(column: TableColumn) -> str:
    unit = f"<small>{escape(column.unit)}</small>" if column.unit else ""
    return f'<th scope="col"><button type="button">{escape(column.title)}{unit}</button></th>'


def _clip(number: int, clip: PageClip) -> str:
    versions = "".join(_version(n, version) for n, version in enumerate(clip.versions, 1))
    pictures = "".join(map(_picture, clip.pictures))
    return (
        f'<section class="clip" id="clip-{number}" tabindex="-1" aria-labelledby="name-{number}">'
        f'<h2 id="name-{number}">{escape(clip.name)}</h2>{definitions(clip.facts)}'
        f'<div class="versions">{versions}{pictures}</div></section>'
    )


def _version(number: int, version: Version) -> str:
    title = escape(version.title)
    return (
        f'<figure class="version"><figcaption><kbd>{number}</kbd> {title}</figcaption>'
        f'<div class="picture"><img src="{mel_data_url(version.audio)}" '
        f'alt="spectrogram, {title}"><span class="cursor"></span></div>'
        f'<audio controls preload="metadata" src="{audio_data_url(version.audio)}" '
        f'aria-label="{title}"></audio></figure>'
    )


def _picture(picture: Picture) -> str:
    return (
        f"<figure><figcaption>{escape(picture.title)}</figcaption>"
        f'<div class="picture"><img src="{picture.url}" alt="{escape(picture.alt)}"></div>'
        "</figure>"
    )
