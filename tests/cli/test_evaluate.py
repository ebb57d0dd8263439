"""`hifigan evaluate` end to end: tables, files, exit codes, and what is said to be missing."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from hifigan_cli.cli.main import run
from hifigan_cli.evaluation import packages
from tests.evaluation.damage import clip, dull, write_folder
from tests.helpers import hifigan

PLAIN = "mel,log_magnitude,silence,high"


def evaluate(*arguments: str | Path) -> int:
    return run(["evaluate", *map(str, arguments)])


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Return recordings and what was made of them: one dull, one as it was, one lonely."""
    sounds = {name: clip(seed, 0.8) for seed, name in enumerate("abc")}
    reference = write_folder(tmp_path / "ref", sounds)
    made = {"a": dull(sounds["a"]), "sub/x": sounds["b"], "b": sounds["b"]}
    return reference, write_folder(tmp_path / "hyp", made, ".flac")


def test_folders_to_table_csv_json_and_page(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """One command in a subprocess: a table on stdout, all else on stderr; files on request."""
    page, table = tmp_path / "page.html", tmp_path / "clips.csv"
    arguments = ("evaluate", *folders, "--metrics", PLAIN, "--html", page, "--csv", table)
    plain = hifigan(*arguments, "--html-clips", "1")
    assert plain.returncode == 0, plain.stderr
    assert "mel L1 to 8 kHz" in plain.stdout
    assert "no result for" in plain.stderr
    assert "no recording for" in plain.stderr
    assert page.read_text("utf-8").count("<audio") == 2
    rows = {row["name"]: row for row in csv.DictReader(table.read_text("utf-8").splitlines())}
    assert set(rows) == {"a", "b"}
    assert float(rows["a"]["high_bias"]) < -10
    assert abs(float(rows["b"]["high_bias"])) < 0.01
    again = hifigan(*arguments)
    assert again.returncode == 4, "what exists is not overwritten"


def test_json_and_a_threshold_that_is_missed(
    folders: tuple[Path, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """Guard exit code 1 and JSON: an object per clip, the means and results, then the error."""
    code = evaluate(*folders, "--metrics", PLAIN, "--threshold", "release", "--json")
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert code == 1
    assert [line["event"] for line in lines] == ["clip", "clip", "evaluation", "error"]
    assert all(line["schema"] == 1 for line in lines)
    results = {r["metric"]: r for r in lines[2]["results"]}
    assert results["high_bias"]["passed"] is False
    assert results["vuv_error"]["mean"] is None
    assert "not measured: periodicity_rmse, vuv_error" in lines[3]["message"]


def test_a_missing_package_is_named_and_fails_the_threshold(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Guard a bare install: a warning with the pip command, figures of the rest, no pass."""
    monkeypatch.setattr(packages, "is_installed", lambda package: False)
    code = evaluate(*folders, "--threshold", "v1", "--workers", "1")
    out, err = capfd.readouterr()
    assert code == 1
    assert "not measured: mcd, pesq, stoi, pitch, distillmos, dnsmos" in err
    assert "pip install 'hifigan-cli[evaluate]'" in err
    assert "pesq" in err.partition("threshold v1: ")[2]
    assert "mel L1 to 8 kHz" in out
    assert "2 clips: a threshold needs at least 20" in err


def test_a_copy_passes_what_it_can_be_judged_by(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Guard that the release threshold can be passed at all, with two files as arguments."""
    pytest.importorskip("swift_f0")
    folder = write_folder(tmp_path, {"a": clip(0, 1.0), "b": clip(0, 1.0)})
    files = folder / "a.wav", folder / "b.wav"
    assert evaluate(*files, "--metrics", "mel,pitch,high", "--threshold", "release") == 0
    assert "the threshold release is passed" in capfd.readouterr().err


def test_damaged_files_among_good_ones(
    folders: tuple[Path, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """Guard a batch: the others are measured, the bad one is named, exit 6; alone it is exit 3."""
    reference, hypothesis = folders
    (hypothesis / "c.wav").write_text("<!DOCTYPE html>")
    assert evaluate(reference, hypothesis, "--metrics", "mel") == 6
    out, err = capfd.readouterr()
    assert "c was left out" in err
    assert "mel L1 to Nyquist" in out
    assert evaluate(reference / "c.wav", hypothesis / "c.wav", "--metrics", "mel") == 3


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--threshold", "v7"), 2, "no threshold is called v7"),
        (("--metrics", "pesk"), 2, "did you mean pesq?"),
        (("--csv", "/dev/null/x.csv"), 4, "/dev/null"),
    ],
)
def test_slips_are_told_before_any_computing(
    folders: tuple[Path, Path],
    arguments: tuple[str, ...],
    code: int,
    words: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Guard exit codes and hints of arguments that cannot be."""
    assert evaluate(*folders, *arguments) == code
    assert words in capfd.readouterr().err
