"""The listening page: one file, no network; in a real browser it plays, sorts and obeys keys."""

from __future__ import annotations

import base64
import io
import json
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hifigan_cli.audio import Audio
from hifigan_cli.evaluation.metrics import METRICS
from hifigan_cli.evaluation.report import ClipScores, Report
from hifigan_cli.reports import PageContent, ShownClip, Version, build_page
from hifigan_cli.reports.evaluation import spread
from hifigan_cli.reports.page import Heading
from tests.evaluation.damage import RATE_HZ, clip, dull
from tests.tools.chromium import chromium

TITLE = 'Noisy & "clean" <script>alert(1)</script>'


def page() -> str:
    """Make a page of three clips with two versions, names that HTML must not take for its own."""
    clips, rows = [], []
    for seed, (name, error) in enumerate({"b<i>2": 0.5, "a10": 0.25, "a9": None}.items()):
        sound = clip(seed, 0.5)
        versions = [
            Version("recording", Audio(np.stack([sound, sound]), RATE_HZ)),
            Version("result", Audio(dull(sound)[None], RATE_HZ)),
        ]
        clips.append(ShownClip(name, versions))
        rows.append((name, {"mel_l1": error}))
    heading = Heading("mel_l1", "mel L1", "ln", 2)
    return build_page(PageContent(TITLE, clips, [("clips", "3 & more")], [heading], rows))


def test_the_page_is_one_file() -> None:
    """Guard that nothing is fetched: every address is data or a place in the page, and the policy
    forbids the rest; names and titles are text, never markup."""
    html = page()
    addresses = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert len([a for a in addresses if a.startswith("data:audio/flac")]) == 6
    assert len([a for a in addresses if a.startswith("data:image/png")]) == 6
    assert all(a.startswith(("data:", "#clip-")) for a in addresses)
    assert "default-src 'none'" in html
    assert not re.search(r"https?:|@import|url\(", html)
    assert "<script>alert" not in html
    assert "<i>" not in html


def test_the_sound_in_the_page_is_the_recording() -> None:
    """Guard the player: stereo stays stereo, and every sample is there within a 16-bit step."""
    found = re.search(r"data:audio/flac;base64,([^\"]+)", page())
    assert found
    samples, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(found[1])), dtype="float32")
    assert rate_hz == RATE_HZ
    assert samples.shape == (RATE_HZ // 2, 2)
    assert np.abs(samples[:, 0] - clip(0, 0.5)).max() <= 1.01 / 32_767


def test_clips_are_spread_from_worst_to_best() -> None:
    """Guard the choice: both ends of the ranking are heard, and no clip twice."""
    clips = tuple(
        ClipScores(f"c{i}", Path("r"), Path("h"), 1.0, {"mel_l1": 0.0, "mel_l1_full": float(i)})
        for i in range(9)
    )
    report = Report(clips, METRICS[:1])
    assert [c.name for c in spread(report, 3)] == ["c8", "c4", "c0"]
    assert [c.name for c in spread(report, 1)] == ["c8"]
    assert len(spread(report, 20)) == 9


# What a listener does, done by a script in the page; what it sees goes into the document.
SCRIPT = """
<script>
addEventListener("load", async () => {
  const seen = {errors: 0, ready: document.documentElement.dataset.ready};
  addEventListener("error", () => seen.errors++);
  const names = () => [...document.querySelectorAll("tbody th")].map((cell) => cell.textContent);
  const head = (n) => document.querySelectorAll("thead button")[n];
  const bodyPress = (key) =>
    document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
  const orders = [names()];
  for (const n of [1, 1, 0]) { head(n).click(); orders.push(names()); }
  seen.orders = orders;
  seen.sorted = document.querySelectorAll("thead th")[0].getAttribute("aria-sort");
  const players = [...document.querySelectorAll("audio")];
  const loaded = (a) => a.readyState > 0 || new Promise((done) => (a.onloadedmetadata = done));
  await Promise.all(players.map(loaded));
  seen.lengths = players.map((audio) => audio.duration);
  seen.pictures = [...document.images].map((image) => image.naturalWidth);
  bodyPress("j"); bodyPress("j");
  seen.current = document.querySelector(".clip.current h2").textContent;
  bodyPress("1");
  await new Promise((done) => (players[2].onplay = done));
  players[2].currentTime = 0.3;
  bodyPress("2");
  await new Promise((done) => (players[3].onplay = done));
  seen.paused = players.map((audio) => audio.paused);
  seen.begins = players[3].currentTime;
  const result = document.createElement("pre");
  result.id = "seen";
  result.textContent = JSON.stringify(seen);
  document.body.append(result);
});
</script></body>
"""


def test_in_a_real_browser(tmp_path: Path) -> None:
    """Guard the page where it lives: it decodes, sorts numbers as numbers with empty cells last,
    and keys walk through the clips and switch versions at the same moment."""
    path = tmp_path / "page.html"
    path.write_text(page().replace("</body>", SCRIPT), "utf-8")
    document = chromium(path, tmp_path / "profile")
    found = re.search(r'<pre id="seen">(.*?)</pre>', document, re.DOTALL)
    assert found, "the script in the page did not come to its end"
    seen = json.loads(unescape(found[1]))
    assert seen["ready"] == "yes"
    assert seen["errors"] == 0
    assert seen["lengths"] == pytest.approx([0.5] * 6, abs=0.01)
    assert all(width > 20 for width in seen["pictures"])
    assert seen["orders"] == [
        ["b<i>2", "a10", "a9"],
        ["a10", "b<i>2", "a9"],
        ["b<i>2", "a10", "a9"],
        ["a9", "a10", "b<i>2"],
    ]
    assert seen["sorted"] == "ascending"
    assert seen["current"] == "a10"
    assert seen["paused"] == [True, True, True, False, True, True]
    assert seen["begins"] == pytest.approx(0.3, abs=0.15)
