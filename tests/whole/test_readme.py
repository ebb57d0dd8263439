"""The README tells the truth: its help is the tool's, its files exist, its Python runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hifigan_cli.audio import read_audio, write_audio
from tests.helpers import ROOT, speech
from tests.models_for_tests import write_tiny_model
from tests.tools.enhancement import ALONE, MODES
from tests.tools.readme import README, with_help


def test_help_is_current() -> None:
    """`python -m tests.tools.readme` would change nothing."""
    readme = README.read_text("utf-8")
    assert readme == with_help(readme)


def test_tables_of_enhancement_are_the_tools() -> None:
    """Every mode has its row in both tables, and no page has a place that is still to be filled."""
    readme = README.read_text("utf-8")
    for name, rows in (
        ("enhancement", ["input", *MODES.values(), ALONE]),
        ("enhancement time", [f"`--enhance {mode}`" for mode in MODES]),
    ):
        (block,) = re.findall(f"<!-- {name}: begin -->(.*?)<!-- {name}: end -->", readme, re.DOTALL)
        for row in rows:
            assert re.search(rf"^\| {re.escape(row)} \| \d", block, re.MULTILINE), row
    for page in (README, ROOT / "hifigan_cli/assets/MODEL_CARD.md"):
        assert "@@" not in page.read_text("utf-8")


def test_links_lead_somewhere() -> None:
    """Every relative link and picture of the README is a file of the repository."""
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README.read_text("utf-8"))
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The README's Python block, word for word, makes a file (with a small model as default)."""
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL)
    model = write_tiny_model(tmp_path / "tiny.safetensors")
    monkeypatch.setattr("hifigan_cli.importers.model_lookup.locate_model", lambda _name: model)
    monkeypatch.chdir(tmp_path)
    write_audio("recording.wav", speech(1.0), 22_050)
    exec(block, {})
    assert read_audio("out.wav").samples.shape == (1, 22_050)
