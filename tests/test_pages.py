"""The pages beside the README tell the truth: their commands, options, links and presets exist."""

from __future__ import annotations

import re
import shlex

import pytest

from hifigan_cli.cli.main import run
from hifigan_cli.config import preset
from hifigan_cli.config.presets import NAMES
from hifigan_cli.config.solver import work_per_s
from hifigan_cli.evaluation.bars import BARS
from tests.helpers import ROOT

PAGES = sorted((ROOT / ".github").glob("*.md"))
GROUPS = ("config", "bench")


def commands() -> list[str]:
    """List the `hifigan` lines of all pages' code blocks, continued lines joined."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```(?:sh|console)\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            joined = block.replace("\\\n", " ")
            found += re.findall(r"^(?:\$ )?(hifigan .*)$", joined, re.MULTILINE)
    return found


def test_links_lead_somewhere() -> None:
    """Every relative link of a page is a file."""
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("line", sorted(set(commands())))
def test_commands_and_options_exist(
    line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command of a page has the options that it is shown with."""
    monkeypatch.setenv("COLUMNS", "200")
    words = shlex.split(line, comments=True)[1:]
    command = words[: 2 if words[0] in GROUPS and not words[1].startswith("-") else 1]
    run([*command, "--help"])
    shown = capsys.readouterr().out
    assert "Usage: hifigan" in shown
    for option in (word for word in words if re.match(r"--?[a-z]", word)):
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", shown), option


def test_the_table_of_presets_is_true() -> None:
    """The training page's rates, hops, bands and work are those of the presets."""
    page = (ROOT / ".github" / "TRAINING.md").read_text("utf-8")
    unit = work_per_s(preset("v2"))
    for names in zip(*[iter(NAMES)] * 3, strict=True):
        first = preset(names[0])
        (row,) = re.findall(rf"^\| {' '.join(f'`{name}`' for name in names)} \|(.*)\|$", page, re.M)
        rate, hop, bands, work = (cell.strip() for cell in row.split("|"))
        assert (int(rate.replace(" ", "")), int(hop)) == (first.mel.rate_hz, first.mel.hop_samples)
        assert bands == f"{first.mel.n_mels} to {first.mel.top_hz / 1000:g} kHz"
        told = [float(number) for number in work.split(",")]
        assert told == [round(work_per_s(preset(name)) / unit, 1) for name in names]


def test_the_table_of_bars_is_true() -> None:
    """The quality page's limits are those that `--bar` holds."""
    page = (ROOT / ".github" / "QUALITY.md").read_text("utf-8")
    table = page.partition("## Bars")[2]
    told = {name: set[float]() for name in BARS}
    for row in re.findall(r"^\| [a-zA-Z].*\|$", table, re.MULTILINE):
        for name, cell in zip(BARS, row.strip("|").split("|")[1:], strict=True):
            told[name] |= {float(cell)} if cell.strip() else set()
    for name, limits in BARS.items():
        assert told[name] == {limit.bound for limit in limits}
