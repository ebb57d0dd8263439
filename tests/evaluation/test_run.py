"""Clips are compared in several processes, in order, and a crash costs one clip only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hifigan_cli.errors import InputError
from hifigan_cli.evaluation import evaluate
from hifigan_cli.evaluation.pairing import FilePair
from hifigan_cli.evaluation.run import Comparison, map_in_order
from tests.evaluation.damage import clip, dull, write_folder


def crash_at_two(comparison: Comparison) -> str:
    """Return a name; end the process, or fail, for some names."""
    name = comparison.files.name
    if name == "2":
        os._exit(9)
    if name == "4":
        raise InputError("four")
    return name


@pytest.mark.timeout(120)
def test_a_crash_costs_one_clip() -> None:
    """Guard the pool: results keep their order, a process that dies is one failure."""
    names = [str(number) for number in range(6)]
    comparisons = [Comparison(FilePair(n, Path(n), Path(n)), (), repair=False) for n in names]
    results = list(map_in_order(crash_at_two, comparisons, 2))
    assert [r for r in results if isinstance(r, str)] == ["0", "1", "3", "5"]
    assert [isinstance(r, InputError) for r in results] == [n in "24" for n in names]
    assert "ended the process" in str(results[2])


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
