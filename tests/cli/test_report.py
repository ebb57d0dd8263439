"""`hifigan resynth --report` end to end: the page of what was made, and what it refuses."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from hifigan_cli.cli.console import Console
from hifigan_cli.cli.synthesis_view import run_synthesis
from hifigan_cli.engines.choose import EngineOptions
from hifigan_cli.enhancement.stages import EnhancementOptions
from hifigan_cli.errors import OutputError
from hifigan_cli.synthesis.pipeline import SynthesisOptions
from hifigan_cli.synthesis.resynthesis import Resynthesis
from tests.helpers import hifigan
from tests.reports.looking import check_alone


def test_a_report_of_a_folder_with_a_bad_file(
    model: Path, wav: Path, stereo: Path, tmp_path: Path
) -> None:
    """The good files are on the page, the bad one is counted there, and the exit code stays."""
    folder, page = tmp_path / "in", tmp_path / "pages" / "report.html"
    folder.mkdir()
    wav.rename(folder / "a.wav")
    stereo.rename(folder / "b.flac")
    (folder / "c.wav").write_text("no sound")
    words: list[str | Path] = [
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
    run = hifigan(*words, "--report", page)
    assert run.returncode == 6, run.stderr
    events = {entry["event"]: entry for entry in map(json.loads, run.stdout.splitlines())}
    assert events["report"]["files"] == 2
    html = page.read_text("utf-8")
    assert events["report"]["bytes"] == len(html.encode())
    check_alone(html)
    assert html.count("<audio") == 6
    for words_of_it in ("tiny", "hifigan-enhancer", "1 of 3 files failed", "b.flac, channel 2 of"):
        assert words_of_it in html, words_of_it
    # A rerun makes nothing, and says that it has nothing to show.
    (folder / "c.wav").unlink()
    again = hifigan(*words, "--report", tmp_path / "again.html")
    assert again.returncode == 0, again.stderr
    assert "no report" in again.stderr
    assert not (tmp_path / "again.html").exists()


def test_a_report_that_cannot_be_written_hides_nothing(
    model: Path, wav: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The summary names the files that failed, also where the page's disk is full."""

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


def test_a_report_is_refused_before_any_computing(model: Path, wav: Path, tmp_path: Path) -> None:
    """An existing page, a pipe, a part of the files: each is told at once, nothing is written."""
    page = tmp_path / "r.html"
    page.write_text("mine")
    cases: tuple[tuple[list[str | Path], int, str], ...] = (
        (["-o", tmp_path / "o.wav", "--report", page], 4, "exists"),
        (["-o", "-", "--report", tmp_path / "x.html"], 2, "pipe"),
        (["-o", tmp_path / "o", "--shard", "1/2", "--report", tmp_path / "x.html"], 2, "--shard"),
    )
    for words, code, said in cases:
        run = hifigan("resynth", wav, "-m", model, *words)
        assert (run.returncode, said in run.stderr) == (code, True), run.stderr
        assert "help:" in run.stderr
    # Not even with --force does a report take the place of a recording.
    run = hifigan("resynth", wav, "-m", model, "-o", tmp_path / "o.wav", "--report", wav, "--force")
    assert (run.returncode, "in.wav.html" in run.stderr) == (2, True), run.stderr
    assert page.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.wav", "r.html"]
