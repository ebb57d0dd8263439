"""Files are matched, means carry intervals, bars are conjunctions that nothing slips through."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hifigan_cli.errors import InputError, UsageError
from hifigan_cli.evaluation.bars import BARS, judge
from hifigan_cli.evaluation.measures import COLUMNS, MEASURES, choose
from hifigan_cli.evaluation.metrics import packages
from hifigan_cli.evaluation.pairing import match_files
from hifigan_cli.evaluation.report import ClipScores, Report, summarise
from hifigan_cli.evaluation.tables import report_object, to_csv


def report_of(**figures: Sequence[float | None]) -> Report:
    """Make a report of figures by column, a value a clip."""
    count = len(next(iter(figures.values())))
    clips = tuple(
        ClipScores(
            f"c{i}", Path("r.wav"), Path("h.wav"), 1.0, {k: v[i] for k, v in figures.items()}
        )
        for i in range(count)
    )
    return Report(clips, tuple(m for m in MEASURES if {c.name for c in m.columns} & set(figures)))


# The official V1 of quality.md passes its bar; its Griffin-Lim passes none.
V1 = {
    "mel_l1": 0.204,
    "mel_l1_full": 0.218,
    "log_magnitude": 0.708,
    "mcd": 3.54,
    "pesq": 3.65,
    "estoi": 0.960,
    "vuv_error": 4.8,
    "periodicity_rmse": 0.076,
    "silence_delta": 0.18,
    "high_bias": -0.26,
}
GRIFFIN_LIM = {
    "mel_l1": 0.142,
    "mel_l1_full": 0.538,
    "log_magnitude": 1.650,
    "mcd": 13.1,
    "pesq": 3.02,
    "estoi": 0.940,
    "vuv_error": 21.0,
    "periodicity_rmse": 0.154,
    "silence_delta": 0.9,
    "high_bias": -52.0,
}


@pytest.mark.parametrize("bar", BARS)
def test_known_systems_stand_where_they_should(bar: str) -> None:
    """Guard every limit's direction: V1 passes all bars, Griffin-Lim none."""
    passing, failing = (
        judge(report_of(**{k: [v] for k, v in system.items()}), bar) for system in (V1, GRIFFIN_LIM)
    )
    assert all(verdict.passed for verdict in passing)
    assert not all(verdict.passed for verdict in failing)


@pytest.mark.parametrize("column", V1)
def test_a_bar_is_a_conjunction(column: str) -> None:
    """Guard each limit: one figure that is bad, or missing, fails the bar alone."""
    worse = {"pesq": 1.0, "estoi": 0.1, "high_bias": 9.0}.get(column, 99.0)
    for bad in (worse, None):
        figures = {k: [bad if k == column else v] for k, v in V1.items()}
        verdicts = judge(report_of(**figures), "v1")
        assert [v.limit.column for v in verdicts if not v.passed] == [column]
    without = {k: [v] for k, v in V1.items() if k != column}
    assert sum(not v.passed for v in judge(report_of(**without), "v1")) == 1


def test_every_bar_names_figures_that_exist() -> None:
    """Guard names: a limit on a figure that nothing computes could never be judged."""
    for limits in BARS.values():
        assert {limit.column for limit in limits} <= set(COLUMNS)
    with pytest.raises(UsageError, match="no bar is called v9"):
        judge(report_of(mcd=[1.0]), "v9")


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=60))
def test_the_interval_holds_the_mean(values: list[float]) -> None:
    """Guard the bootstrap: around the mean, within the data, the same each time."""
    summary = summarise(values)
    assert summary.low is not None
    assert summary.high is not None
    assert min(values) - 1e-9 <= summary.low <= summary.mean + 1e-9
    assert summary.mean - 1e-9 <= summary.high <= max(values) + 1e-9
    assert summary == summarise(values)


def test_the_interval_is_as_wide_as_theory_says() -> None:
    """Guard its width: 1.96 standard errors on each side, for many clips."""
    values = np.random.default_rng(0).normal(5, 2, 400)
    summary = summarise(list(values))
    assert summary.low is not None
    assert summary.high is not None
    assert (summary.high - summary.low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)


def test_folders_are_matched_by_relative_stem(tmp_path: Path) -> None:
    """Guard names: subfolders, other extensions, dots, lonely files, a.wav beside a.flac."""
    for name in ("a.wav", "sub/b.flac", "c.1.wav", "lonely.wav", "d.wav", "d.flac", "note.txt"):
        path = tmp_path / "ref" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for name in ("a.flac", "sub/b.wav", "c.1.wav", "b.wav", "d.wav.wav", "d.flac.wav"):
        path = tmp_path / "hyp" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    matching = match_files(tmp_path / "ref", tmp_path / "hyp")
    assert {m.name: m.hypothesis.name for m in matching.matches} == {
        "a": "a.flac",
        "sub/b": "b.wav",
        "c.1": "c.1.wav",
        "d.wav": "d.wav.wav",
        "d.flac": "d.flac.wav",
    }
    assert [path.name for path in matching.lonely_references] == ["lonely.wav"]
    assert matching.lonely_hypotheses == (tmp_path / "hyp" / "b.wav",)


def test_what_cannot_be_matched_is_refused(tmp_path: Path) -> None:
    """Guard the messages: a file against a folder, empty folders, nothing in common."""
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    (tmp_path / "x" / "a.wav").touch()
    with pytest.raises(UsageError, match="one is a folder"):
        match_files(tmp_path / "x", tmp_path / "x" / "a.wav")
    with pytest.raises(InputError, match="no audio files"):
        match_files(tmp_path / "x", tmp_path / "y")
    (tmp_path / "y" / "b.wav").touch()
    with pytest.raises(InputError, match="has the name of one"):
        match_files(tmp_path / "x", tmp_path / "y")


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guard the extra: left out and listed by default, refused with the pip command on request."""
    monkeypatch.setattr(packages, "is_installed", lambda package: package != "pesq")
    taken, left_out = choose(None)
    assert [measure.name for measure in left_out] == ["pesq"]
    assert "pesq" not in [measure.name for measure in taken]
    with pytest.raises(UsageError, match="needs pesq") as error:
        choose(["mel", "pesq"])
    assert error.value.hint == "pip install 'hifigan-cli[evaluate]'"
    with pytest.raises(UsageError, match="not installed"):
        packages.load("pesq")
    report = Report((), taken, left_out)
    assert report_object(report)["left_out"] == {"pesq": ["pesq"]}
    assert "pesq" in [v.limit.column for v in judge(report, "v1") if v.mean is None]


def test_metrics_are_chosen_by_name_or_column() -> None:
    """Guard --metrics: either name, in the table's order, once; a slip gets a suggestion."""
    assert [m.name for m in choose(["silence_delta", "mel", "mel_l1"])[0]] == ["mel", "silence"]
    with pytest.raises(UsageError, match="no metric is called mell") as error:
        choose(["mell"])
    assert error.value.hint == "did you mean mel?"


def test_tables_hold_every_figure() -> None:
    """Guard CSV and JSON: all clips, all columns, nothing where there is nothing."""
    report = report_of(mel_l1=[0.25, None], mel_l1_full=[1.0, 3.0])
    rows = list(csv.DictReader(io.StringIO(to_csv(report))))
    assert [row["name"] for row in rows] == ["c0", "c1"]
    assert [row["mel_l1"] for row in rows] == ["0.25", ""]
    content = json.loads(json.dumps(report_object(report, "release", judge(report, "release"))))
    assert content["figures"]["mel_l1"] == {"mean": 0.25, "low": None, "high": None, "clips": 1}
    assert content["figures"]["mel_l1_full"]["mean"] == 2.0
    assert [v["passed"] for v in content["verdicts"]] == [False] * 4
