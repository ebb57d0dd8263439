"""`hifigan evaluate` end to end: tables, files, exit codes and missing packages."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from hifigan_cli.cli.main import run
from hifigan_cli.evaluation import packages
from tests.evaluation.degradations import clip, low_pass, write_folder
from tests.helpers import hifigan

BUILT_IN = "mel,log_magnitude,silence,high"  # these need no optional package


def evaluate(*arguments: str | Path) -> int:
    return run(["evaluate", *map(str, arguments)])


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Return recordings and generated files: a dull one, a copy, and one without a recording."""
    recordings = {name: clip(seed, 0.8) for seed, name in enumerate("abc")}
    reference = write_folder(tmp_path / "ref", recordings)
    generated = {"a": low_pass(recordings["a"]), "sub/x": recordings["b"], "b": recordings["b"]}
    return reference, write_folder(tmp_path / "generated", generated, ".flac")


def test_folders_to_table_csv_and_page(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """The table is on stdout, the notes are on stderr, and existing files are not overwritten."""
    page, csv_path = tmp_path / "page.html", tmp_path / "clips.csv"
    arguments = ("evaluate", *folders, "--metrics", BUILT_IN, "--html", page, "--csv", csv_path)
    run = hifigan(*arguments, "--html-clips", "1")
    assert run.returncode == 0, run.stderr
    assert "mel L1 to 8 kHz" in run.stdout
    reference, generated = folders
    assert str(reference / "c.wav") in run.stderr
    assert str(generated / "sub" / "x.flac") in run.stderr
    assert page.read_text("utf-8").count("<audio") == 2
    rows = {row["name"]: row for row in csv.DictReader(csv_path.read_text("utf-8").splitlines())}
    assert set(rows) == {"a", "b"}
    assert float(rows["a"]["high_bias"]) < -10
    assert abs(float(rows["b"]["high_bias"])) < 0.01
    assert hifigan(*arguments).returncode == 4


def test_json_of_a_missed_threshold(
    folders: tuple[Path, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """A missed threshold fails with exit code 1; JSON has clips, means, results and the error."""
    code = evaluate(*folders, "--metrics", BUILT_IN, "--threshold", "release", "--json")
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert code == 1
    assert [line["event"] for line in lines] == ["clip", "clip", "evaluation", "error"]
    assert all(line["schema"] == 1 for line in lines)
    results = {r["metric"]: r for r in lines[2]["results"]}
    assert results["high_bias"]["passed"] is False
    assert results["vuv_error"]["mean"] is None
    assert "periodicity_rmse, vuv_error" in lines[3]["message"]


def test_missing_packages_fail_the_threshold(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without optional packages, a warning has the pip command, and the threshold fails."""
    monkeypatch.setattr(packages, "is_installed", lambda package: False)
    code = evaluate(*folders, "--threshold", "v1", "--workers", "1")
    out, err = capfd.readouterr()
    assert code == 1
    assert "mcd, pesq, stoi, pitch, distillmos, dnsmos" in err
    assert "pip install 'hifigan-cli[evaluate]'" in err
    assert "pesq" in err.partition("threshold v1: ")[2]
    assert "mel L1 to 8 kHz" in out
    assert re.search(r"\b2 clips\b.*\b20\b", err)


def test_copy_passes_the_release_threshold(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two equal files pass the release threshold."""
    pytest.importorskip("swift_f0")
    folder = write_folder(tmp_path, {"a": clip(0, 1.0), "b": clip(0, 1.0)})
    files = folder / "a.wav", folder / "b.wav"
    assert evaluate(*files, "--metrics", "mel,pitch,high", "--threshold", "release") == 0
    assert "threshold release" in capfd.readouterr().err


def test_damaged_file_in_a_folder(
    folders: tuple[Path, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """The other files are compared, exit code 6; for only the damaged file it is 3."""
    reference, generated = folders
    (generated / "c.wav").write_text("<!DOCTYPE html>")
    assert evaluate(reference, generated, "--metrics", "mel") == 6
    out, err = capfd.readouterr()
    assert "warning: c " in err
    assert "mel L1 to Nyquist" in out
    assert evaluate(reference / "c.wav", generated / "c.wav", "--metrics", "mel") == 3


@pytest.mark.parametrize(
    ("arguments", "code", "fact"),
    [
        (("--threshold", "v7"), 2, "v7"),
        (("--metrics", "pesk"), 2, "pesq"),
        (("--csv", "/dev/null/x.csv"), 4, "/dev/null"),
    ],
)
def test_invalid_arguments(
    folders: tuple[Path, Path],
    arguments: tuple[str, ...],
    code: int,
    fact: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Invalid arguments are errors before any computation."""
    assert evaluate(*folders, *arguments) == code
    assert fact in capfd.readouterr().err
