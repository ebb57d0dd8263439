"""Content -> one HTML file."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from hifigan_cli.reports.document import definitions, document
from hifigan_cli.reports.media import picture_address, sound_address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hifigan_cli.reports.content import PageContent, Picture, Scale, ShownClip, Version

_KEYS = (
    ("j k", "next and previous clip"),
    ("1 2 ...", "play that version, from where the last one stood"),
    ("space", "pause, and go on"),
)


def build_page(content: PageContent) -> str:
    """Return the HTML of a page."""
    header = [definitions(content.summary), keys_line(), *map(_scale, content.scales)]
    return document(content.title, header, [_table(content), *clip_sections(content.clips)])


def keys_line() -> str:
    """Say which keys a page with clips obeys."""
    keys = (f"<kbd>{escape(key)}</kbd> {escape(what)}" for key, what in _KEYS)
    return f"<p class='keys'>{' · '.join(keys)}</p>"


def clip_sections(clips: Sequence[ShownClip]) -> list[str]:
    """Lay out clips, a section each."""
    return [_clip(number, clip) for number, clip in enumerate(clips, 1)]


def _scale(scale: Scale) -> str:
    """Explain colours by a bar of them; what they mean is also said in words."""
    bar = f'<span class="bar" style="background:linear-gradient(90deg,{",".join(scale.colours)})">'
    low, high = escape(scale.low), escape(scale.high)
    return f'<p class="scale">{escape(scale.title)}: {low} {bar}</span> {high}</p>'


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
