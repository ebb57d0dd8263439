"""The page of `hifigan resynth` compares input and output, and states its limits."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from hifigan_cli.audio import write_audio
from hifigan_cli.audio.pictures import difference_picture
from hifigan_cli.reports import resynthesis
from hifigan_cli.reports.describe import describe
from hifigan_cli.reports.resynthesis import difference_db, resynthesis_page
from hifigan_cli.synthesis.events import AudioWritten
from tests.helpers import speech
from tests.reports.browser import check_self_contained, open_in_browser


def audio_written(source: Path, target: Path, length_s: float, elapsed_s: float) -> AudioWritten:
    return AudioWritten(source, target, round(22_050 * length_s), 22_050, 1, 0, elapsed_s)


def write_pair(folder: Path, name: str, channels: int = 1, gain: float = 0.5) -> AudioWritten:
    """Write a recording and a quieter copy of it as its result."""
    samples = np.stack([speech(0.6, seed=number) for number in range(channels)])
    write_audio(folder / f"{name}.wav", samples, 22_050)
    write_audio(folder / f"{name}-out.wav", samples * gain, 22_050)
    return audio_written(folder / f"{name}.wav", folder / f"{name}-out.wav", 0.6, 0.3)


def test_difference_is_in_decibels() -> None:
    """Half the amplitude is -6.02 dB; levels 80 dB below the loudest are all equal."""
    loud = np.full((4, 10), 0.0, np.float32)
    assert difference_db(loud, loud - np.float32(np.log(2))) == pytest.approx(-6.0206, abs=1e-3)
    deep = loud.copy()
    deep[2:] = -11.0  # 96 dB below the loudest
    deeper = deep.copy()
    deeper[2:] = -14.0
    assert np.abs(difference_db(deep, deeper)).max() == 0
    assert difference_db(loud[:, :7], loud).shape == (4, 7)


def test_difference_colors() -> None:
    """Zero is white whatever the clip; values beyond the limit have the color of the limit."""
    pixels = difference_picture(np.array([[0, 20, -20, 99]], np.float32), 20.0)[0].astype(int)
    assert pixels[0].min() > 240
    assert pixels[1][0] > 2 * pixels[1][2]
    assert pixels[2][2] > 2 * pixels[2][0]
    assert np.array_equal(pixels[1], pixels[3])


def test_each_channel_has_players(tmp_path: Path) -> None:
    """Channels are compared separately, with level, length and speed."""
    page = resynthesis_page([write_pair(tmp_path, "a", channels=2)], [("model", "<tiny>")], 12)
    check_self_contained(page)
    assert page.count("<audio") == 4
    assert page.count("<img") == 6
    assert "a.wav, channel 2 of 2" in page
    assert "&lt;tiny&gt;" in page
    assert "2.0 x real time" in page
    assert "-6.0 dB" in page
    assert "13,230 samples at 22,050 Hz" in page


def test_page_size_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Players, their length and the rows have a maximum, which the page states."""
    monkeypatch.setattr(resynthesis, "MAX_PLAYER_S", 0.25)
    monkeypatch.setattr(resynthesis, "MAX_ROWS", 3)
    files = [write_pair(tmp_path, f"f{number}", channels=3) for number in range(2)]
    files += [
        audio_written(tmp_path / f"gone{n}.wav", tmp_path / "gone.wav", 1.0, 1.0) for n in range(5)
    ]
    page = resynthesis_page(files, [], 2)
    assert page.count("<audio") == 4
    assert "0.25 s" in page
    assert "3 of 7 files" in page
    assert page.count('<th scope="row"') == 3
    assert len(page) < 200_000


def test_long_files_use_constant_memory(tmp_path: Path) -> None:
    """The page contains the beginning, the levels cover the complete file, memory is limited."""
    samples = np.zeros((1, 8_000 * 1_200), np.float32)
    samples[0, : 8_000 * 31] = np.tile(speech(1.0, 8_000), 31) / 10
    samples[0, -3:] = 0.5, -1.0, 0.25
    for name in ("in.wav", "out.wav"):
        write_audio(tmp_path / name, samples, 8_000)
    results = [audio_written(tmp_path / "in.wav", tmp_path / "out.wav", 1_200.0, 10.0)]
    tracemalloc.start()
    page, facts = resynthesis_page(results, [], 1), describe(tmp_path / "in.wav").facts
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < samples.nbytes / 1.5
    assert "1200.00 s, 9,600,000 samples at 8,000 Hz, peak -0.0" in page
    assert (facts["samples"], facts["length_s"], facts["channels"]) == (9_600_000, 1200, 1)
    assert (facts["peak_dbfs"], facts["samples_at_full_scale"]) == (0, 1)


def test_page_in_a_browser(tmp_path: Path) -> None:
    """Audio decodes, the page fits the window, and the button of a caption plays its audio."""
    page = resynthesis_page([write_pair(tmp_path, "a")], [("model", "tiny")], 12)
    script = (
        "(document.querySelectorAll('figcaption button')[1].click(), "
        "[...document.querySelectorAll('audio')].map((audio) => audio.paused))"
    )
    state = open_in_browser(page, tmp_path, script)
    assert state["lengths"] == pytest.approx([0.6, 0.6], abs=0.01)
    assert len(state["pictures"]) == 3
    assert all(width > 20 for width in state["pictures"])
    assert state["result"] == [True, False]
