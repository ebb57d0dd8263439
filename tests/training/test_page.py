"""A run's page: made of what its folder holds, whatever of it is missing or half written."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hifigan_cli.audio import read_audio
from hifigan_cli.config import preset
from hifigan_cli.config.resolve import to_toml
from hifigan_cli.errors import InputError
from hifigan_cli.reports.curves import Curve, chart, thinned
from hifigan_cli.reports.training import page_of_run
from tests.helpers import hifigan
from tests.reports.looking import check_alone, seen_in_a_browser
from tests.training.runs import go


def a_run(folder: Path, lines: list[dict[str, Any]], end: str = "") -> Path:
    """Write the folder of a V1 run with these figures."""
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.toml").write_text(to_toml(preset("v1")))
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text + end)
    return folder


def figures(steps: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"event": "validation", "step": 0, "mel_l1_full": 2.0}]
    for step in range(10, steps + 1, 10):
        train = {"mel": 1 / step, "adversarial": 3.0, "feature": 2.0, "discriminator": 3.5}
        found.append({"event": "train", "step": step, **train, "learning_rate": 2e-4})
    error = {"mel_l1_full": 0.281, "level_db": -1.0, "official_converged": 0.214}
    found.append({"event": "validation", "step": steps, **error})
    words = {"message": "the output is <silent>", "hint": "start anew"}
    return [*found, {"event": "warning", "step": steps, "kind": "x", **words}]


def test_a_real_run_is_on_its_page(
    prepared: Path, tmp_path: Path, small_discriminators: None
) -> None:
    """Protects the whole way: what training writes is what the page shows, sounds included."""
    go(prepared, tmp_path / "run", steps=4, validate_every=2)
    run = hifigan("info", tmp_path / "run", "--html", tmp_path / "page.html", "--json")
    assert run.returncode == 0, run.stderr
    page = (tmp_path / "page.html").read_text("utf-8")
    assert json.loads(run.stdout)["bytes"] == len(page.encode())
    check_alone(page)
    assert page.count("<audio") == 2
    assert "Validation clips at step 4" in page
    assert "clip08" in page
    assert "4 of 4" in page
    assert page.count("<svg") == 7
    kept = read_audio(tmp_path / "run/validation_audio/1-generated.flac")
    assert kept.sample_rate == 22_050
    assert kept.samples.shape[1] > 600
    again = hifigan("info", tmp_path / "run", "--html", tmp_path / "page.html")
    assert again.returncode == 4  # it exists
    assert hifigan("info", prepared, "--html", tmp_path / "other.html").returncode == 3
    assert hifigan("info", "--resolved", "--html", tmp_path / "other.html").returncode == 2
    assert not (tmp_path / "other.html").exists()


def test_a_line_in_the_making_is_no_error(tmp_path: Path) -> None:
    """Protects a look at a run at work: a cut last line, and lines of nothing known, are left."""
    end = '7\n{"event": "other"}\n{"event": "train", "step": 60, "mel"'
    page = page_of_run(a_run(tmp_path / "run", figures(50), end))
    check_alone(page)
    assert "50 of 2,500,000" in page
    assert "mel_l1_full 0.2810 at step 50" in page
    assert "this one after 167,332 steps" in page  # of the official curve
    assert "official V1, on LJSpeech 0.287 at step 140,000" in page
    assert "the output is &lt;silent&gt;" in page


def test_errors_that_cannot_be_compared_are_not(tmp_path: Path) -> None:
    """Beside given mels the run itself compares nothing; its page says no more."""
    lines = figures(50)
    for line in lines:
        line.pop("official_converged", None)
    page = page_of_run(a_run(tmp_path / "run", lines))
    assert "mel_l1_full 0.2810 at step 50" in page
    assert "official" not in page.partition("<details>")[0]


def test_a_run_that_has_just_begun(tmp_path: Path) -> None:
    """Protects the first minute: no figures, no configuration, no sound, and no error."""
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    page = page_of_run(tmp_path / "run")
    assert "none was logged yet" in page
    assert "<svg" not in page
    with pytest.raises(InputError):
        page_of_run(tmp_path)


def test_a_long_run_makes_no_long_page(tmp_path: Path) -> None:
    """Protects the browser: points are thinned to their means, which stay where they were."""
    page = page_of_run(a_run(tmp_path / "run", figures(200_000)))
    assert len(page) < 300_000
    points = thinned(np.array([[x, 2 * x] for x in range(1201)], np.float64))
    assert len(points) == 500
    assert points[:, 1] == pytest.approx(2 * points[:, 0])
    assert points[-1, 0] > 1190


def test_curves_say_themselves_and_leave_out_what_is_no_number() -> None:
    """Protects those who cannot see a drawing, and a drawing of a run that diverged."""
    nan = float("nan")
    drawing = chart("Loss", [Curve("mel", [(1, 2.0), (2, nan), (3, 1.5), (4, 1.75)])])
    assert 'aria-label="Loss: mel 2 at step 1, 1.75 at step 4, lowest 1.5"' in drawing
    assert "currentColor" in drawing
    assert not re.search(r"http|<metadata|#010203", drawing)
    assert chart("Loss", [Curve("mel", [(1, nan)])]) == ""
    two = drawing + chart("Other", [Curve("mel", [(1, 2.0), (3, 1.5)])])
    names = re.findall(r'\sid="([^"]+)"', two)
    assert len(names) == len(set(names))


def test_in_a_real_browser(tmp_path: Path) -> None:
    """Protects the page where it lives: drawings have a size, nothing is unnamed or too wide."""
    seen = seen_in_a_browser(page_of_run(a_run(tmp_path / "run", figures(300))), tmp_path)
    assert len(seen["drawings"]) == 6  # no speed was written
    assert all(width > 100 for width in seen["drawings"])
