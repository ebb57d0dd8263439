"""Helpers: what a reader finds in a page, with and without a browser."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

from tests.tools.chromium import chromium

# What every page must give a browser: sound that decodes, pictures, no errors, no unnamed parts.
_SCRIPT = """
<script>
addEventListener("load", async () => {
  const seen = {errors: 0, ready: document.documentElement.dataset.ready};
  addEventListener("error", () => seen.errors++);
  const players = [...document.querySelectorAll("audio")];
  const loaded = (a) => a.readyState > 0 || new Promise((done) => (a.onloadedmetadata = done));
  await Promise.all(players.map(loaded));
  seen.lengths = players.map((audio) => audio.duration);
  seen.pictures = [...document.images].map((image) => image.naturalWidth);
  seen.drawings = [...document.querySelectorAll("svg")].map((one) => one.getBBox().width);
  const named = (one) => one.alt || one.getAttribute("aria-label");
  seen.unnamed = [...document.querySelectorAll("img, audio, svg")].filter((o) => !named(o)).length;
  seen.wide = document.documentElement.scrollWidth - innerWidth;
  seen.asked = await (ASKED);
  const result = document.createElement("pre");
  result.id = "seen";
  result.textContent = JSON.stringify(seen);
  document.body.append(result);
});
</script></body>
"""

_SCHEME = "--blink-settings=preferredColorScheme={}"


def seen_in_a_browser(
    page: str, folder: Path, asked: str = "0", dark: bool = False
) -> dict[str, Any]:
    """Open a page in Chromium; return what its reader has. Skips where there is no browser.

    `asked` is an expression of JavaScript whose value, awaited, is found under that name; `dark` is
    what the reader prefers.
    """
    path = folder / "seen.html"
    path.write_text(page.replace("</body>", _SCRIPT.replace("ASKED", asked)), "utf-8")
    found = re.search(
        r'<pre id="seen">(.*?)</pre>',
        chromium(path, folder / "profile", _SCHEME.format(0 if dark else 1)),
        re.DOTALL,
    )
    assert found, "the script in the page did not come to its end"
    seen: dict[str, Any] = json.loads(unescape(found[1]))
    assert seen["ready"] == "yes"
    assert seen["errors"] == 0
    assert seen["unnamed"] == 0
    assert seen["wide"] <= 0, "the page scrolls sideways"
    return seen


def check_alone(page: str) -> None:
    """Check that a page needs nothing else: no address in it leads out of it."""
    for address in re.findall(r'(?:src|href)="([^"]*)"', page):
        assert address.startswith(("data:", "#")), address
    assert "default-src 'none'" in page
    assert not re.search(r"https?:|@import|url\((?!#)", page)
