"""Test the pages in .github: their links, presets and thresholds."""

from __future__ import annotations

import re

from hifigan_cli.config import preset
from hifigan_cli.config.presets import NAMES
from hifigan_cli.config.solver import multiplications_per_s
from hifigan_cli.evaluation.thresholds import THRESHOLDS
from tests.helpers import ROOT

PAGES = sorted((ROOT / ".github").glob("*.md"))


def test_page_links_exist() -> None:
    """Every relative link of a page is a file."""
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_preset_table_matches_presets() -> None:
    """The training page has the rates, hops, bands and computation of the presets."""
    page = (ROOT / ".github" / "TRAINING.md").read_text("utf-8")
    unit = multiplications_per_s(preset("v2"))
    for names in zip(*[iter(NAMES)] * 3, strict=True):
        first = preset(names[0])
        (row,) = re.findall(rf"^\| {' '.join(f'`{name}`' for name in names)} \|(.*)\|$", page, re.M)
        rate, hop, bands, work = (cell.strip() for cell in row.split("|"))
        assert (int(rate.replace(" ", "")), int(hop)) == (
            first.mel.sample_rate,
            first.mel.hop_length,
        )
        assert bands == f"{first.mel.n_mels} to {first.mel.upper_edge_hz / 1000:g} kHz"
        documented = [float(number) for number in work.split(",")]
        assert documented == [
            round(multiplications_per_s(preset(name)) / unit, 1) for name in names
        ]


def test_threshold_table_matches_thresholds() -> None:
    """The quality page has the limits that `--threshold` checks."""
    page = (ROOT / ".github" / "QUALITY.md").read_text("utf-8")
    table = page.partition("## Thresholds")[2].partition("\n## ")[0]
    documented = {name: set[float]() for name in THRESHOLDS}
    for row in re.findall(r"^\| [a-zA-Z].*\|$", table, re.MULTILINE):
        for name, cell in zip(THRESHOLDS, row.strip("|").split("|")[1:], strict=True):
            documented[name] |= {float(cell)} if cell.strip() else set()
    for name, limits in THRESHOLDS.items():
        assert documented[name] == set(limits.values())
