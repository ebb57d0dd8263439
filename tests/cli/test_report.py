"""`hifigan resynth --report` end to end: the page and its errors."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from hifigan_cli.cli.console import Console
from hifigan_cli.cli.synthesis_view import run_synthesis
from hifigan_cli.engines.selection import EngineOptions
from hifigan_cli.enhancement.stages import EnhancementOptions
from hifigan_cli.errors import OutputError
from hifigan_cli.synthesis.pipeline import SynthesisOptions
from hifigan_cli.synthesis.resynthesis import Resynthesis
from tests.helpers import hifigan
from tests.reports.browser import check_self_contained


def test_report_of_a_folder_with_a_bad_file(
    model: Path, wav: Path, stereo: Path, tmp_path: Path
) -> None:
    """The page shows the good files and counts the bad one; the exit code is still 6."""
    folder, page = tmp_path / "in", tmp_path / "pages" / "report.html"
    folder.mkdir()
    wav.rename(folder / "a.wav")
    stereo.rename(folder / "b.flac")
    (folder / "c.wav").write_text("no sound")
    command: list[str | Path] = [
        "resynth",
        folder,
        "-o",
        tmp_path / "out",
        "-m",
        model,
        "--device",
        "cpu",
        "--json",
    ]
    run = hifigan(*command, "--report", page)
    assert run.returncode == 6, run.stderr
    events = {entry["event"]: entry for entry in map(json.loads, run.stdout.splitlines())}
    assert events["report"]["files"] == 2
    html = page.read_text("utf-8")
    assert events["report"]["bytes"] == len(html.encode())
    check_self_contained(html)
    assert html.count("<audio") == 6
    for text in ("tiny", "hifigan-enhancer", "1 of 3 files failed", "b.flac, channel 2 of"):
        assert text in html, text
    # A second run synthesizes no file and so writes no report.
    (folder / "c.wav").unlink()
    run = hifigan(*command, "--report", tmp_path / "second.html")
    assert run.returncode == 0, run.stderr
    assert "report" in run.stderr
    assert not (tmp_path / "second.html").exists()


def test_summary_without_the_report(
    model: Path, wav: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The summary names the failed files even if the page cannot be written."""

    def write_report(*_: object) -> None:
        raise OutputError("No space left on device")

    (tmp_path / "in").mkdir()
    wav.rename(tmp_path / "in" / "a.wav")
    (tmp_path / "in" / "b.wav").write_text("no sound")
    with pytest.raises(OutputError, match="No space"):
        run_synthesis(
            partial(Resynthesis, enhancement=EnhancementOptions("off")),
            SynthesisOptions(str(model), EngineOptions(device="cpu")),
            [tmp_path / "in"],
            tmp_path / "out",
            Console(json=True),
            dry_run=False,
            write_report=write_report,
        )
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [Path(entry["source"]).name for entry in summary["failed"]] == ["b.wav"]


def test_report_errors_before_any_computation(model: Path, wav: Path, tmp_path: Path) -> None:
    """An existing page, a pipe and a shard are errors, and no file is written."""
    page = tmp_path / "r.html"
    page.write_text("old")
    cases: tuple[tuple[list[str | Path], int, str], ...] = (
        (["-o", tmp_path / "o.wav", "--report", page], 4, str(page)),
        (["-o", "-", "--report", tmp_path / "x.html"], 2, "--report"),
        (["-o", tmp_path / "o", "--shard", "1/2", "--report", tmp_path / "x.html"], 2, "--shard"),
    )
    for arguments, code, fact in cases:
        run = hifigan("resynth", wav, "-m", model, *arguments)
        assert (run.returncode, fact in run.stderr) == (code, True), run.stderr
        assert "help:" in run.stderr
    # Even with --force, a report does not overwrite a recording.
    run = hifigan("resynth", wav, "-m", model, "-o", tmp_path / "o.wav", "--report", wav, "--force")
    assert (run.returncode, "in.wav.html" in run.stderr) == (2, True), run.stderr
    assert page.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.wav", "r.html"]
