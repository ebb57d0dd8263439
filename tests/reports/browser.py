"""Helpers that check a page with and without a browser."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

from tests.tools.chromium import chromium

# Collects what every page must have: audio that decodes, pictures, no errors, labels everywhere.
_SCRIPT = """
<script>
addEventListener("load", async () => {
  const state = {errors: 0, ready: document.documentElement.dataset.ready};
  addEventListener("error", () => state.errors++);
  const players = [...document.querySelectorAll("audio")];
  const loaded = (a) => a.readyState > 0 || new Promise((done) => (a.onloadedmetadata = done));
  await Promise.all(players.map(loaded));
  state.lengths = players.map((audio) => audio.duration);
  state.pictures = [...document.images].map((image) => image.naturalWidth);
  state.drawings = [...document.querySelectorAll("svg")].map((svg) => svg.getBBox().width);
  const label = (e) => e.alt || e.getAttribute("aria-label");
  const labeled = [...document.querySelectorAll("img, audio, svg")];
  state.unlabeled = labeled.filter((e) => !label(e)).length;
  state.overflow_px = document.documentElement.scrollWidth - innerWidth;
  state.result = await (EXPRESSION);
  const output = document.createElement("pre");
  output.id = "page-state";
  output.textContent = JSON.stringify(state);
  document.body.append(output);
});
</script></body>
"""

_SCHEME = "--blink-settings=preferredColorScheme={}"


def open_in_browser(
    page: str, folder: Path, expression: str = "0", dark: bool = False
) -> dict[str, Any]:
    """Open a page in Chromium and return its state; skip the test without a browser.

    `expression` is JavaScript; its awaited value is returned as "result". `dark` selects the color
    scheme.
    """
    path = folder / "page.html"
    path.write_text(page.replace("</body>", _SCRIPT.replace("EXPRESSION", expression)), "utf-8")
    output = re.search(
        r'<pre id="page-state">(.*?)</pre>',
        chromium(path, folder / "profile", _SCHEME.format(0 if dark else 1)),
        re.DOTALL,
    )
    assert output, "the script in the page did not finish"
    state: dict[str, Any] = json.loads(unescape(output[1]))
    assert state["ready"] == "yes"
    assert state["errors"] == 0
    assert state["unlabeled"] == 0
    assert state["overflow_px"] <= 0, "the page scrolls horizontally"
    return state


def check_self_contained(page: str) -> None:
    """Check that no URL in a page points outside the page."""
    for url in re.findall(r'(?:src|href)="([^"]*)"', page):
        assert url.startswith(("data:", "#")), url
    assert "default-src 'none'" in page
    assert not re.search(r"https?:|@import|url\((?!#)", page)
