"""The listening page: one file, no network; in a real browser it plays, sorts and obeys keys."""

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
from hifigan_cli.reports import ShownClip, Version, build_page
from hifigan_cli.reports.evaluation import spread
from hifigan_cli.reports.page import Heading
from tests.evaluation.damage import SAMPLE_RATE, clip, dull
from tests.reports.looking import check_alone, seen_in_a_browser

TITLE = 'Noisy & "clean" <script>alert(1)</script>'


def page() -> str:
    """Make a page of three clips with two versions, names that HTML must not take for its own."""
    clips, rows = [], []
    for seed, (name, error) in enumerate({"b<i>2": 0.5, "a10": 0.25, "a9": None}.items()):
        sound = clip(seed, 0.5)
        versions = [
            Version("recording", Audio(np.stack([sound, sound]), SAMPLE_RATE)),
            Version("result", Audio(dull(sound)[None], SAMPLE_RATE)),
        ]
        clips.append(ShownClip(name, versions))
        rows.append((name, {"mel_l1": error}))
    heading = Heading("mel_l1", "mel L1", "ln", 2)
    return build_page(TITLE, clips, [("clips", "3 & more")], [heading], rows)


def test_the_page_is_one_file() -> None:
    """Guard that nothing is fetched: every address is data or a place in the page, and the policy
    forbids the rest; names and titles are text, never markup."""
    html = page()
    check_alone(html)
    assert html.count('src="data:audio/flac') == html.count('src="data:image/png') == 6
    assert "<script>alert" not in html
    assert "<i>" not in html


def test_the_sound_in_the_page_is_the_recording() -> None:
    """Guard the player: stereo stays stereo, and every sample is there within a 16-bit step."""
    found = re.search(r"data:audio/flac;base64,([^\"]+)", page())
    assert found
    samples, sample_rate = soundfile.read(io.BytesIO(base64.b64decode(found[1])), dtype="float32")
    assert sample_rate == SAMPLE_RATE
    assert samples.shape == (SAMPLE_RATE // 2, 2)
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


# What a listener does, done by a script in the page.
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
  return {orders, sorted, current, paused, begins: players[3].currentTime};
})()"""


def test_in_a_real_browser(tmp_path: Path) -> None:
    """Guard the page where it lives: it decodes, sorts numbers as numbers with empty cells last,
    and keys walk through the clips and switch versions at the same moment."""
    seen = seen_in_a_browser(page(), tmp_path, SCRIPT)
    assert seen["lengths"] == pytest.approx([0.5] * 6, abs=0.01)
    assert all(width > 20 for width in seen["pictures"])
    asked = seen["asked"]
    assert asked["orders"] == [
        ["b<i>2", "a10", "a9"],
        ["a10", "b<i>2", "a9"],
        ["b<i>2", "a10", "a9"],
        ["a9", "a10", "b<i>2"],
    ]
    assert asked["sorted"] == "ascending"
    assert asked["current"] == "a10"
    assert asked["paused"] == [True, True, True, False, True, True]
    assert asked["begins"] == pytest.approx(0.3, abs=0.15)


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
    sound = Audio(clip(0, 0.3)[None], SAMPLE_RATE)
    shown = ShownClip("a", [Version("input", sound)], facts=[("length", "0.3 s")])
    page = build_page("t", [shown], [], [Heading("x", "x", "s")], [("a", {"x": 1.0})])
    ground, *colours = seen_in_a_browser(page, tmp_path, COLOURS, dark)["asked"]
    assert (luminance(ground) < 0.1) == dark
    for name, colour in zip(WRITTEN, colours, strict=True):
        low, high = sorted((luminance(ground), luminance(colour)))
        assert (high + 0.05) / (low + 0.05) >= LEAST, (name, colour, ground)
