"""Test the pages in .github: their links, presets and thresholds."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.signal

from hifigan_cli.audio import read_audio, write_audio
from hifigan_cli.audio.logmel import audio_to_mel
from hifigan_cli.config import MelConfig, preset
from hifigan_cli.config.presets import NAMES
from hifigan_cli.config.solver import multiplications_per_s
from hifigan_cli.evaluation.thresholds import THRESHOLDS
from tests.audio.reference_mel import filterbank
from tests.helpers import ROOT, speech

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


def test_librosa_recipe_gives_the_default_mel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Python block of MELS.md computes the mel of `hifigan mel`; librosa is a stand-in."""
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / ".github/MELS.md").read_text(), re.DOTALL)
    librosa = ModuleType("librosa")
    monkeypatch.setitem(sys.modules, "librosa", librosa)

    def load(path: str, sr: int) -> tuple[Any, int]:
        return read_audio(path).mono().samples[0], sr

    def stft(y: Any, n_fft: int, hop_length: int, win_length: int, center: bool) -> Any:
        assert (win_length, center) == (n_fft, False)
        frames = np.lib.stride_tricks.sliding_window_view(y, n_fft)[::hop_length]
        return np.fft.rfft(frames * scipy.signal.get_window("hann", n_fft)).T

    monkeypatch.setattr(librosa, "load", load, raising=False)
    monkeypatch.setattr(librosa, "stft", stft, raising=False)
    filters = SimpleNamespace(
        mel=lambda sr, n_fft, n_mels, fmin, fmax: filterbank(sr, n_fft, n_mels, fmin, fmax)
    )
    monkeypatch.setattr(librosa, "filters", filters, raising=False)
    monkeypatch.chdir(tmp_path)
    samples = speech(1.0)
    write_audio("recording.wav", samples, 22_050)
    scope: dict[str, Any] = {}
    exec(block, scope)
    expected = audio_to_mel(read_audio("recording.wav"), MelConfig())
    np.testing.assert_allclose(scope["mel"], expected, atol=2e-3)
