"""What a listening page shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hifigan_cli.audio.reading import Audio


@dataclass(frozen=True)
class Version:
    """One way that a clip sounds: its title ("recording", "result"), and the sound."""

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
    """A clip to hear and to see: its name, its versions and pictures side by side, facts of it."""

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
class Scale:
    """What the colours of pictures mean: CSS colours in order, and words for both ends."""

    title: str
    colours: Sequence[str]
    low: str
    high: str


@dataclass(frozen=True)
class PageContent:
    """A page.

    Attributes:
        title: of the page.
        clips: what is heard, in this order.
        summary: lines above the table, as label and text.
        headings: the columns of the table of figures.
        rows: a name and figures by heading for each clip, also those that are not heard.
        scales: the colours of its pictures, explained.
    """

    title: str
    clips: Sequence[ShownClip]
    summary: Sequence[tuple[str, str]] = ()
    headings: Sequence[Heading] = ()
    rows: Sequence[tuple[str, Mapping[str, float | None]]] = ()
    scales: Sequence[Scale] = ()
