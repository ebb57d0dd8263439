"""Files are matched, means carry intervals, and nothing slips through a threshold."""

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
from hifigan_cli.evaluation import evaluate, packages
from hifigan_cli.evaluation.metrics import COLUMNS, METRICS, choose_metrics
from hifigan_cli.evaluation.pairing import pair_files
from hifigan_cli.evaluation.report import ClipScores, Report, check_threshold, summarize
from hifigan_cli.evaluation.thresholds import THRESHOLDS
from tests.evaluation.damage import clip, dull, write_folder


def report_of(**figures: Sequence[float | None]) -> Report:
    count = len(next(iter(figures.values())))
    clips = tuple(
        ClipScores(
            f"c{i}", Path("r.wav"), Path("h.wav"), 1.0, {k: v[i] for k, v in figures.items()}
        )
        for i in range(count)
    )
    return Report(clips, tuple(m for m in METRICS if {c.name for c in m.columns} & set(figures)))


# The official V1 of quality.md passes its threshold; its Griffin-Lim passes none.
V1_AND_GRIFFIN_LIM = {
    "mel_l1": (0.204, 0.142),
    "mel_l1_full": (0.218, 0.538),
    "log_magnitude": (0.708, 1.650),
    "mcd": (3.54, 13.1),
    "pesq": (3.65, 3.02),
    "estoi": (0.960, 0.940),
    "vuv_error": (4.8, 21.0),
    "periodicity_rmse": (0.076, 0.154),
    "silence_delta": (0.18, 0.9),
    "high_bias": (-0.26, -52.0),
}
SYSTEMS: list[dict[str, list[float | None]]] = [
    {column: [values[i]] for column, values in V1_AND_GRIFFIN_LIM.items()} for i in (0, 1)
]
V1 = SYSTEMS[0]


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_known_systems_stand_where_they_should(threshold: str) -> None:
    """Guard every limit's direction: V1 passes all thresholds, Griffin-Lim none."""
    passing, failing = (check_threshold(report_of(**system), threshold) for system in SYSTEMS)
    assert all(result.passed for result in passing)
    assert not all(result.passed for result in failing)


@pytest.mark.parametrize("column", V1)
def test_a_threshold_needs_every_limit(column: str) -> None:
    """Guard each limit: one figure that is bad, or missing, fails the threshold by itself."""
    worse = {"pesq": 1.0, "estoi": 0.1, "high_bias": 9.0}.get(column, 99.0)
    for bad in (worse, None):
        results = check_threshold(report_of(**{**V1, column: [bad]}), "v1")
        assert [r.column for r in results if not r.passed] == [column]
    without = {k: v for k, v in V1.items() if k != column}
    assert sum(not v.passed for v in check_threshold(report_of(**without), "v1")) == 1


def test_every_threshold_names_metrics_that_exist() -> None:
    """Guard names: a limit on a figure that nothing computes could never be passed."""
    for limits in THRESHOLDS.values():
        assert set(limits) <= set(COLUMNS)
    with pytest.raises(UsageError, match="no threshold is called v9"):
        check_threshold(report_of(mcd=[1.0]), "v9")


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=60))
def test_the_interval_holds_the_mean(values: list[float]) -> None:
    """Guard the bootstrap: around the mean, within the data, the same each time."""
    summary = summarize(values)
    assert summary.low is not None
    assert summary.high is not None
    assert min(values) - 1e-9 <= summary.low <= summary.mean + 1e-9
    assert summary.mean - 1e-9 <= summary.high <= max(values) + 1e-9
    assert summary == summarize(values)


def test_the_interval_is_as_wide_as_theory_says() -> None:
    """Guard its width: 1.96 standard errors on each side, for many clips."""
    values = np.random.default_rng(0).normal(5, 2, 400)
    summary = summarize(list(values))
    assert summary.low is not None
    assert summary.high is not None
    assert (summary.high - summary.low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)


def test_folders_are_matched_by_relative_stem(tmp_path: Path) -> None:
    """Guard names: subfolders, other extensions, dots, lonely files, a.wav beside a.flac."""
    for folder, names in (
        ("ref", "a.wav sub/b.flac c.1.wav lonely.wav d.wav d.flac note.txt"),
        ("hyp", "a.flac sub/b.wav c.1.wav b.wav d.wav.wav d.flac.wav"),
    ):
        (tmp_path / folder / "sub").mkdir(parents=True)
        for name in names.split():
            (tmp_path / folder / name).touch()
    paired = pair_files(tmp_path / "ref", tmp_path / "hyp")
    assert {m.name: m.hypothesis.name for m in paired.pairs} == {
        "a": "a.flac",
        "sub/b": "b.wav",
        "c.1": "c.1.wav",
        "d.wav": "d.wav.wav",
        "d.flac": "d.flac.wav",
    }
    assert [path.name for path in paired.unmatched_references] == ["lonely.wav"]
    assert paired.unmatched_hypotheses == (tmp_path / "hyp" / "b.wav",)


def test_what_cannot_be_matched_is_refused(tmp_path: Path) -> None:
    """Guard the messages: a file against a folder, empty folders, nothing in common."""
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    (tmp_path / "x" / "a.wav").touch()
    with pytest.raises(UsageError, match="one is a folder"):
        pair_files(tmp_path / "x", tmp_path / "x" / "a.wav")
    with pytest.raises(InputError, match="no audio files"):
        pair_files(tmp_path / "x", tmp_path / "y")
    (tmp_path / "y" / "b.wav").touch()
    with pytest.raises(InputError, match="has the name of one"):
        pair_files(tmp_path / "x", tmp_path / "y")


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guard the extra: left out and listed by default, refused with the pip command on request."""
    monkeypatch.setattr(packages, "is_installed", lambda package: package != "pesq")
    taken, left_out = choose_metrics(None)
    assert [metric.name for metric in left_out] == ["pesq"]
    assert "pesq" not in [metric.name for metric in taken]
    with pytest.raises(UsageError, match="needs pesq") as error:
        choose_metrics(["mel", "pesq"])
    assert error.value.hint == "pip install 'hifigan-cli[evaluate]'"
    with pytest.raises(UsageError, match="not installed"):
        packages.load("pesq")
    report = Report((), taken, left_out)
    assert report.as_json()["left_out"] == {"pesq": ["pesq"]}
    assert "pesq" in [r.column for r in check_threshold(report, "v1") if r.mean is None]


def test_metrics_are_chosen_by_name_or_column() -> None:
    """Guard --metrics: either name, in the table's order, once; a slip gets a suggestion."""
    assert [m.name for m in choose_metrics(["silence_delta", "mel", "mel_l1"])[0]] == [
        "mel",
        "silence",
    ]
    with pytest.raises(UsageError, match="no metric is called mell") as error:
        choose_metrics(["mell"])
    assert error.value.hint == "did you mean mel?"


def test_tables_hold_every_figure() -> None:
    """Guard CSV and JSON: all clips, all columns, nothing where there is nothing."""
    report = report_of(mel_l1=[0.25, None], mel_l1_full=[1.0, 3.0])
    rows = list(csv.DictReader(io.StringIO(report.as_csv())))
    assert [row["name"] for row in rows] == ["c0", "c1"]
    assert [row["mel_l1"] for row in rows] == ["0.25", ""]
    content = json.loads(json.dumps(report.as_json("release", check_threshold(report, "release"))))
    assert content["metrics"]["mel_l1"] == {"mean": 0.25, "low": None, "high": None, "clips": 1}
    assert content["metrics"]["mel_l1_full"]["mean"] == 2.0
    assert [r["passed"] for r in content["results"]] == [False] * 4


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
