"""The listening page is one file without network access; in a browser it plays and sorts."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hifigan_cli.audio import Audio
from hifigan_cli.evaluation.metrics import METRICS
from hifigan_cli.evaluation.report import ClipScores, Report
from hifigan_cli.reports import PageClip, Version, build_page
from hifigan_cli.reports.evaluation import select_clips
from hifigan_cli.reports.page import TableColumn
from tests.evaluation.degradations import SAMPLE_RATE, clip, low_pass
from tests.reports.browser import check_self_contained, open_in_browser

TITLE = 'Noisy & "clean" <script>alert(1)</script>'


def page() -> str:
    """Build a page of three clips with two versions, and names that contain HTML."""
    clips, rows = [], []
    for seed, (name, error) in enumerate({"b<i>2": 0.5, "a10": 0.25, "a9": None}.items()):
        samples = clip(seed, 0.5)
        versions = [
            Version("recording", Audio(np.stack([samples, samples]), SAMPLE_RATE)),
            Version("result", Audio(low_pass(samples)[None], SAMPLE_RATE)),
        ]
        clips.append(PageClip(name, versions))
        rows.append((name, {"mel_l1": error}))
    column = TableColumn("mel_l1", "mel L1", "ln", 2)
    return build_page(TITLE, clips, [("clips", "3 & more")], [column], rows)


def test_page_is_self_contained() -> None:
    """Every URL is data or an anchor, a policy forbids others, and names are escaped."""
    html = page()
    check_self_contained(html)
    assert html.count('src="data:audio/flac') == html.count('src="data:image/png') == 6
    assert "<script>alert" not in html
    assert "<i>" not in html


def test_page_contains_the_recording() -> None:
    """Stereo stays stereo, and every sample is within one 16-bit step."""
    match = re.search(r"data:audio/flac;base64,([^\"]+)", page())
    assert match
    samples, sample_rate = soundfile.read(io.BytesIO(base64.b64decode(match[1])), dtype="float32")
    assert sample_rate == SAMPLE_RATE
    assert samples.shape == (SAMPLE_RATE // 2, 2)
    assert np.abs(samples[:, 0] - clip(0, 0.5)).max() <= 1.01 / 32_767


def test_select_clips_covers_the_ranking() -> None:
    """The worst and the best clip are included, and no clip twice."""
    clips = tuple(
        ClipScores(f"c{i}", Path("r"), Path("h"), 1.0, {"mel_l1": 0.0, "mel_l1_full": float(i)})
        for i in range(9)
    )
    report = Report(clips, METRICS[:1])
    assert [c.name for c in select_clips(report, 3)] == ["c8", "c4", "c0"]
    assert [c.name for c in select_clips(report, 1)] == ["c8"]
    assert len(select_clips(report, 20)) == 9


# A script in the page that acts like a listener.
SCRIPT = """(async () => {
  const names = () => [...document.querySelectorAll("tbody th")].map((cell) => cell.textContent);
  const head = (n) => document.querySelectorAll("thead button")[n];
  const press = (key) =>
    document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
  const orders = [names()];
  for (const n of [1, 1, 0]) { head(n).click(); orders.push(names()); }
  const sorted = document.querySelectorAll("thead th")[0].getAttribute("aria-sort");
  press("j"); press("j");
  const current = document.querySelector(".clip.current h2").textContent;
  press("1");
  await new Promise((done) => (players[2].onplay = done));
  players[2].currentTime = 0.3;
  press("2");
  await new Promise((done) => (players[3].onplay = done));
  const paused = players.map((audio) => audio.paused);
  return {orders, sorted, current, paused, start: players[3].currentTime};
})()"""


def test_page_in_a_browser(tmp_path: Path) -> None:
    """Audio decodes, the table sorts by number with empty cells last, and keys select clips and
    switch versions at the same position."""
    state = open_in_browser(page(), tmp_path, SCRIPT)
    assert state["lengths"] == pytest.approx([0.5] * 6, abs=0.01)
    assert all(width > 20 for width in state["pictures"])
    result = state["result"]
    assert result["orders"] == [
        ["b<i>2", "a10", "a9"],
        ["a10", "b<i>2", "a9"],
        ["b<i>2", "a10", "a9"],
        ["a9", "a10", "b<i>2"],
    ]
    assert result["sorted"] == "ascending"
    assert result["current"] == "a10"
    assert result["paused"] == [True, True, True, False, True, True]
    assert result["start"] == pytest.approx(0.3, abs=0.15)


MIN_CONTRAST = 4.5  # for text, WCAG 2.2, 1.4.3
TEXT_SELECTORS = ("body", "a", ".keys", "thead small", ".clip dt", "figcaption button")
COLORS = f"""(() => {{
  const probe = document.createElement("p");
  probe.style.background = "Canvas";
  document.body.append(probe);
  const color = (selector) => getComputedStyle(document.querySelector(selector)).color;
  return [getComputedStyle(probe).backgroundColor, ...{list(TEXT_SELECTORS)}.map(color)];
}})()"""


def luminance(color: str) -> float:
    """Return the relative luminance of `rgb(r, g, b)`, as WCAG defines it."""
    red, green, blue = (int(part) / 255 for part in re.findall(r"\d+", color)[:3])
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)
    ]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_has_contrast(tmp_path: Path, dark: bool) -> None:
    """The page follows the color scheme, and all text has enough contrast."""
    audio = Audio(clip(0, 0.3)[None], SAMPLE_RATE)
    page_clip = PageClip("a", [Version("input", audio)], facts=[("length", "0.3 s")])
    page = build_page("t", [page_clip], [], [TableColumn("x", "x", "s")], [("a", {"x": 1.0})])
    background, *colors = open_in_browser(page, tmp_path, COLORS, dark)["result"]
    assert (luminance(background) < 0.1) == dark
    for selector, color in zip(TEXT_SELECTORS, colors, strict=True):
        low, high = sorted((luminance(background), luminance(color)))
        assert (high + 0.05) / (low + 0.05) >= MIN_CONTRAST, (selector, color, background)
