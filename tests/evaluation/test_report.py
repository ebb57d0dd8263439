"""File pairing, confidence intervals, thresholds, CSV and JSON."""

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
from hifigan_cli.evaluation.metrics import COLUMNS, METRICS, select_metrics
from hifigan_cli.evaluation.pairing import pair_files
from hifigan_cli.evaluation.report import ClipScores, Report, check_threshold, summarize
from hifigan_cli.evaluation.thresholds import THRESHOLDS
from tests.evaluation.degradations import clip, low_pass, write_folder


def report_of(**columns: Sequence[float | None]) -> Report:
    count = len(next(iter(columns.values())))
    clips = tuple(
        ClipScores(
            f"c{i}", Path("r.wav"), Path("h.wav"), 1.0, {k: v[i] for k, v in columns.items()}
        )
        for i in range(count)
    )
    return Report(clips, tuple(m for m in METRICS if {c.name for c in m.columns} & set(columns)))


# The values of QUALITY.md: the official V1 passes all thresholds, Griffin-Lim none.
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
def test_thresholds_of_known_systems(threshold: str) -> None:
    """V1 passes all thresholds, Griffin-Lim none."""
    passing, failing = (check_threshold(report_of(**system), threshold) for system in SYSTEMS)
    assert all(result.passed for result in passing)
    assert not all(result.passed for result in failing)


@pytest.mark.parametrize("column", V1)
def test_threshold_needs_every_limit(column: str) -> None:
    """One bad or missing value is enough to fail."""
    worse = {"pesq": 1.0, "estoi": 0.1, "high_bias": 9.0}.get(column, 99.0)
    for bad in (worse, None):
        results = check_threshold(report_of(**{**V1, column: [bad]}), "v1")
        assert [r.column for r in results if not r.passed] == [column]
    without = {k: v for k, v in V1.items() if k != column}
    assert sum(not v.passed for v in check_threshold(report_of(**without), "v1")) == 1


def test_thresholds_use_existing_columns() -> None:
    """An unknown threshold is an error that contains its name."""
    for limits in THRESHOLDS.values():
        assert set(limits) <= set(COLUMNS)
    with pytest.raises(UsageError, match="v9"):
        check_threshold(report_of(mcd=[1.0]), "v9")


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=60))
def test_interval_contains_the_mean(values: list[float]) -> None:
    """The interval is within the range of the data, and is deterministic."""
    summary = summarize(values)
    assert summary.low is not None
    assert summary.high is not None
    assert min(values) - 1e-9 <= summary.low <= summary.mean + 1e-9
    assert summary.mean - 1e-9 <= summary.high <= max(values) + 1e-9
    assert summary == summarize(values)


def test_interval_width() -> None:
    """For many clips, the interval extends 1.96 standard errors to each side."""
    values = np.random.default_rng(0).normal(5, 2, 400)
    summary = summarize(list(values))
    assert summary.low is not None
    assert summary.high is not None
    assert (summary.high - summary.low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)


def test_files_are_paired_by_relative_stem(tmp_path: Path) -> None:
    """Subfolders, other extensions, dots, unmatched files, and both a.wav and a.flac work."""
    for folder, names in (
        ("ref", "a.wav sub/b.flac c.1.wav unmatched.wav d.wav d.flac note.txt"),
        ("generated", "a.flac sub/b.wav c.1.wav b.wav d.wav.wav d.flac.wav"),
    ):
        (tmp_path / folder / "sub").mkdir(parents=True)
        for name in names.split():
            (tmp_path / folder / name).touch()
    paired = pair_files(tmp_path / "ref", tmp_path / "generated")
    assert {m.name: m.generated.name for m in paired.pairs} == {
        "a": "a.flac",
        "sub/b": "b.wav",
        "c.1": "c.1.wav",
        "d.wav": "d.wav.wav",
        "d.flac": "d.flac.wav",
    }
    assert [path.name for path in paired.unmatched_references] == ["unmatched.wav"]
    assert paired.unmatched_generated == (tmp_path / "generated" / "b.wav",)


def test_unpaired_paths_are_errors(tmp_path: Path) -> None:
    """A file and a folder, an empty folder, and folders without common names."""
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    (tmp_path / "x" / "a.wav").touch()
    with pytest.raises(UsageError, match=r"a\.wav"):
        pair_files(tmp_path / "x", tmp_path / "x" / "a.wav")
    with pytest.raises(InputError, match=str(tmp_path / "y")):
        pair_files(tmp_path / "x", tmp_path / "y")
    (tmp_path / "y" / "b.wav").touch()
    with pytest.raises(InputError, match=rf"{tmp_path / 'y'}.*{tmp_path / 'x'}"):
        pair_files(tmp_path / "x", tmp_path / "y")


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default the metric is skipped and reported; on request, the error has the pip command."""
    monkeypatch.setattr(packages, "is_installed", lambda package: package != "pesq")
    selected, skipped = select_metrics(None)
    assert [metric.name for metric in skipped] == ["pesq"]
    assert "pesq" not in [metric.name for metric in selected]
    with pytest.raises(UsageError, match="pesq") as error:
        select_metrics(["mel", "pesq"])
    assert error.value.hint == "pip install 'hifigan-cli[evaluate]'"
    with pytest.raises(UsageError, match="pesq"):
        packages.load("pesq")
    report = Report((), selected, skipped)
    assert report.as_json()["skipped_metrics"] == {"pesq": ["pesq"]}
    assert "pesq" in [r.column for r in check_threshold(report, "v1") if r.mean is None]


def test_metrics_are_selected_by_name_or_column() -> None:
    """Metrics are in the order of the table, without duplicates; a typo gets a suggestion."""
    assert [m.name for m in select_metrics(["silence_delta", "mel", "mel_l1"])[0]] == [
        "mel",
        "silence",
    ]
    with pytest.raises(UsageError, match="mell") as error:
        select_metrics(["mell"])
    assert "mel" in (error.value.hint or "").replace("?", "").split()


def test_csv_and_json_contain_all_values() -> None:
    """CSV and JSON contain all clips and all columns; unknown values are empty or null."""
    report = report_of(mel_l1=[0.25, None], mel_l1_full=[1.0, 3.0])
    rows = list(csv.DictReader(io.StringIO(report.as_csv())))
    assert [row["name"] for row in rows] == ["c0", "c1"]
    assert [row["mel_l1"] for row in rows] == ["0.25", ""]
    content = json.loads(json.dumps(report.as_json("release", check_threshold(report, "release"))))
    assert content["metrics"]["mel_l1"] == {"mean": 0.25, "low": None, "high": None, "clips": 1}
    assert content["metrics"]["mel_l1_full"]["mean"] == 2.0
    assert [r["passed"] for r in content["results"]] == [False] * 4


@pytest.mark.timeout(120)
def test_report_does_not_depend_on_workers(tmp_path: Path) -> None:
    """The report is the same for any number of processes."""
    sounds = {name: clip(seed, 0.5) for seed, name in enumerate("abc")}
    reference = write_folder(tmp_path / "ref", sounds)
    generated = write_folder(
        tmp_path / "generated", {k: low_pass(sound) for k, sound in sounds.items()}
    )
    (generated / "b.wav").write_text("no sound")
    reports = [evaluate(reference, generated, metrics=["high"], workers=n) for n in (1, 2)]
    assert reports[0].clips == reports[1].clips
    assert [name for report in reports for name, _ in report.failures] == ["b", "b"]
