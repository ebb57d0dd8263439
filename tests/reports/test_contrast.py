"""Both colour schemes: what a page writes can be read on what it is written on."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from hifigan_cli.audio import Audio
from hifigan_cli.reports import PageContent, ShownClip, Version, build_page
from hifigan_cli.reports.page import Heading
from tests.helpers import speech
from tests.reports.looking import seen_in_a_browser

LEAST = 4.5  # WCAG 2.2, 1.4.3, of text
WRITTEN = ("body", "a", ".keys", "thead small", ".clip dt", "figcaption button")
COLOURS = f"""(() => {{
  const probe = document.createElement("p");
  probe.style.background = "Canvas";
  document.body.append(probe);
  const colour = (name) => getComputedStyle(document.querySelector(name)).color;
  return [getComputedStyle(probe).backgroundColor, ...{list(WRITTEN)}.map(colour)];
}})()"""


def luminance(colour: str) -> float:
    """Return the relative luminance of `rgb(r, g, b)`, as WCAG defines it."""
    red, green, blue = (int(part) / 255 for part in re.findall(r"\d+", colour)[:3])
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)
    ]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_stands_out(tmp_path: Path, dark: bool) -> None:
    """Protects readers at night and in the sun: the scheme is followed, all text has contrast."""
    sound = Audio(speech(0.3)[None], 22_050)
    clip = ShownClip("a", [Version("input", sound)], facts=[("length", "0.3 s")])
    content = PageContent("t", [clip], [], [Heading("x", "x", "s")], [("a", {"x": 1.0})])
    ground, *colours = seen_in_a_browser(build_page(content), tmp_path, COLOURS, dark)["asked"]
    assert (luminance(ground) < 0.1) == dark
    for name, colour in zip(WRITTEN, colours, strict=True):
        low, high = sorted((luminance(ground), luminance(colour)))
        assert (high + 0.05) / (low + 0.05) >= LEAST, (name, colour, ground)
