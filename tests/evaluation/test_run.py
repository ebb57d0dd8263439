"""Clips are compared in several processes, with the results of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from hifigan_cli.evaluation import evaluate
from tests.evaluation.damage import clip, dull, write_folder


@pytest.mark.timeout(120)
def test_processes_give_what_one_process_gives(tmp_path: Path) -> None:
    """Guard parallel work: the same report, whatever the number of workers."""
    sounds = {name: clip(seed, 0.5) for seed, name in enumerate("abc")}
    reference = write_folder(tmp_path / "ref", sounds)
    hypothesis = write_folder(tmp_path / "hyp", {k: dull(sound) for k, sound in sounds.items()})
    (hypothesis / "b.wav").write_text("no sound")
    reports = [evaluate(reference, hypothesis, metrics=["high"], workers=n) for n in (1, 2)]
    assert reports[0].clips == reports[1].clips
    assert [name for report in reports for name, _ in report.failures] == ["b", "b"]
