"""README and COMMANDS.md are up to date, and the Python example runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hifigan_cli.audio import read_audio, write_audio
from tests.helpers import ROOT, speech
from tests.models_for_tests import write_tiny_model
from tests.tools.docs import (
    COMMANDS_PAGE,
    QUALITY_PAGE,
    README,
    between,
    help_section,
    results_section,
)
from tests.tools.enhancement import MODES, WITHOUT_VOCODER


def test_help_is_current() -> None:
    """The help in COMMANDS.md has the words of `--help`, whatever their line breaks and boxes."""
    assert words(between(COMMANDS_PAGE.read_text("utf-8"), "help")) == words(help_section())


def words(text: str) -> list[str]:
    """Split help into words; box drawing is left out."""
    return re.sub(r"[\u2500-\u257f]", " ", text).split()


def test_results_are_current() -> None:
    """The README's results are the rows of the full tables, and it has at most 200 lines."""
    readme = README.read_text("utf-8")
    assert between(readme, "results").strip() == results_section()
    assert len(readme.splitlines()) <= 200


def test_enhancement_tables_have_all_rows() -> None:
    """Both tables contain every mode, and no page contains an unfilled placeholder."""
    page = QUALITY_PAGE.read_text("utf-8")
    for name, rows in (
        ("enhancement", ["input", *MODES.values(), WITHOUT_VOCODER]),
        ("enhancement time", [f"`--enhance {mode}`" for mode in MODES]),
    ):
        for row in rows:
            assert re.search(rf"^\| {re.escape(row)} \| \d", between(page, name), re.MULTILINE), row
    for path in (README, ROOT / "hifigan_cli/assets/MODEL_CARD.md"):
        assert "@@" not in path.read_text("utf-8")


def test_readme_links_exist() -> None:
    """Every relative link and picture of the README is a file of the repository."""
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README.read_text("utf-8"))
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python block of the README runs word for word (with a small default model)."""
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL)
    model = write_tiny_model(tmp_path / "tiny.safetensors")
    monkeypatch.setattr("hifigan_cli.importers.model_lookup.locate_model", lambda _name: model)
    monkeypatch.chdir(tmp_path)
    write_audio("recording.wav", speech(1.0), 22_050)
    exec(block, {})
    assert read_audio("out.wav").samples.shape == (1, 22_050)
