"""The HTML page of a run, also for an incomplete run folder."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hifigan_cli.audio import read_audio
from hifigan_cli.config import preset
from hifigan_cli.config.files import to_toml
from hifigan_cli.errors import InputError
from hifigan_cli.reports.curves import Curve, chart, downsample
from hifigan_cli.reports.training import training_page
from tests.helpers import hifigan
from tests.reports.browser import check_self_contained, open_in_browser
from tests.training.runs import train_run


def write_run(folder: Path, lines: list[dict[str, Any]], end: str = "") -> Path:
    """Write the folder of a V1 run with these entries in metrics.jsonl."""
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.toml").write_text(to_toml(preset("v1")))
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text + end)
    return folder


def metrics_lines(steps: int) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = [{"event": "validation", "step": 0, "mel_l1_full": 2.0}]
    for step in range(10, steps + 1, 10):
        train = {"mel": 1 / step, "adversarial": 3.0, "feature": 2.0, "discriminator": 3.5}
        lines.append({"event": "train", "step": step, **train, "learning_rate": 2e-4})
    error = {"mel_l1_full": 0.281, "level_db": -1.0, "official_converged": 0.214}
    lines.append({"event": "validation", "step": steps, **error})
    texts = {"message": "the output is <silent>", "hint": "restart"}
    return [*lines, {"event": "warning", "step": steps, "kind": "x", **texts}]


def test_page_of_a_real_run(prepared: Path, tmp_path: Path, small_discriminators: None) -> None:
    """Check that the page contains the metrics and audio that training wrote."""
    train_run(prepared, tmp_path / "run", steps=4, validate_every=2)
    run = hifigan("info", tmp_path / "run", "--html", tmp_path / "page.html", "--json")
    assert run.returncode == 0, run.stderr
    page = (tmp_path / "page.html").read_text("utf-8")
    assert json.loads(run.stdout)["bytes"] == len(page.encode())
    check_self_contained(page)
    assert page.count("<audio") == 2
    assert "Validation clips at step 4" in page
    assert "clip08" in page
    assert "4 of 4" in page
    assert page.count("<svg") == 7
    audio = read_audio(tmp_path / "run/validation_audio/1-generated.flac")
    assert audio.sample_rate == 22_050
    assert audio.samples.shape[1] > 600
    repeated = hifigan("info", tmp_path / "run", "--html", tmp_path / "page.html")
    assert repeated.returncode == 4  # it exists
    assert hifigan("info", prepared, "--html", tmp_path / "other.html").returncode == 3
    assert hifigan("info", "--resolved", "--html", tmp_path / "other.html").returncode == 2
    assert not (tmp_path / "other.html").exists()


def test_incomplete_and_unknown_lines_are_skipped(tmp_path: Path) -> None:
    """Check the page of a running training: an incomplete last line and unknown events."""
    end = '7\n{"event": "other"}\n{"event": "train", "step": 60, "mel"'
    page = training_page(write_run(tmp_path / "run", metrics_lines(50), end))
    check_self_contained(page)
    assert "50 of 2,500,000" in page
    assert "mel_l1_full 0.2810 at step 50" in page
    assert "after 167,332 steps" in page  # of the official curve
    assert "official V1, on LJSpeech 0.287 at step 140,000" in page
    assert "the output is &lt;silent&gt;" in page


def test_incomparable_errors_are_not_compared(tmp_path: Path) -> None:
    """Check that the page compares errors only if the run did, which excludes input mels."""
    lines = metrics_lines(50)
    for line in lines:
        line.pop("official_converged", None)
    page = training_page(write_run(tmp_path / "run", lines))
    assert "mel_l1_full 0.2810 at step 50" in page
    assert "official" not in page.partition("<details>")[0]


def test_page_of_a_new_run(tmp_path: Path) -> None:
    """Check a run folder without metrics, configuration and audio."""
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    page = training_page(tmp_path / "run")
    assert "none logged yet" in page
    assert "<svg" not in page
    with pytest.raises(InputError):
        training_page(tmp_path)


def test_long_curves_are_downsampled(tmp_path: Path) -> None:
    """Check the size of the page of a long run, and the means that replace the points."""
    page = training_page(write_run(tmp_path / "run", metrics_lines(200_000)))
    assert len(page) < 300_000
    points = downsample(np.array([[x, 2 * x] for x in range(1201)], np.float64))
    assert len(points) == 500
    assert points[:, 1] == pytest.approx(2 * points[:, 0])
    assert points[-1, 0] > 1190


def test_chart_has_a_label_and_skips_nan() -> None:
    """Check the text alternative of a chart, and the chart of a diverged run."""
    nan = float("nan")
    svg = chart("Loss", [Curve("mel", [(1, 2.0), (2, nan), (3, 1.5), (4, 1.75)])])
    assert 'aria-label="Loss: mel 2 at step 1, 1.75 at step 4, lowest 1.5"' in svg
    assert "currentColor" in svg
    assert not re.search(r"http|<metadata|#010203", svg)
    assert chart("Loss", [Curve("mel", [(1, nan)])]) == ""
    two = svg + chart("Other", [Curve("mel", [(1, 2.0), (3, 1.5)])])
    names = re.findall(r'\sid="([^"]+)"', two)
    assert len(names) == len(set(names))


def test_page_in_a_browser(tmp_path: Path) -> None:
    """Check in a browser that all charts have a size and a name, and none is too wide."""
    rendered = open_in_browser(
        training_page(write_run(tmp_path / "run", metrics_lines(300))), tmp_path
    )
    assert len(rendered["drawings"]) == 6  # the metrics contain no speed
    assert all(width > 100 for width in rendered["drawings"])
