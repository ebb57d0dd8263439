"""The page of `hifigan resynth`: what is compared, what is left out, and that it says so."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from hifigan_cli.audio import write_audio
from hifigan_cli.audio.pictures import difference_picture
from hifigan_cli.reports import resynthesis
from hifigan_cli.reports.describe import describe
from hifigan_cli.reports.resynthesis import difference_db, page_of_resynthesis
from hifigan_cli.synthesis.events import Synthesized
from tests.helpers import speech
from tests.reports.looking import check_alone, seen_in_a_browser


def written(source: Path, target: Path, length_s: float, elapsed_s: float) -> Synthesized:
    return Synthesized(source, target, round(22_050 * length_s), 22_050, 1, 0, elapsed_s)


def made(folder: Path, name: str, channels: int = 1, gain: float = 0.5) -> Synthesized:
    """Write a recording and a quieter result of it."""
    sound = np.stack([speech(0.6, seed=number) for number in range(channels)])
    write_audio(folder / f"{name}.wav", sound, 22_050)
    write_audio(folder / f"{name}-out.wav", sound * gain, 22_050)
    return written(folder / f"{name}.wav", folder / f"{name}-out.wav", 0.6, 0.3)


def test_the_difference_is_in_decibels() -> None:
    """Half the amplitude is 6.02 dB less everywhere; deep under the loudest all is equal."""
    loud = np.full((4, 10), 0.0, np.float32)
    assert difference_db(loud, loud - np.float32(np.log(2))) == pytest.approx(-6.0206, abs=1e-3)
    deep = loud.copy()
    deep[2:] = -11.0  # 96 dB under the loudest
    deeper = deep.copy()
    deeper[2:] = -14.0
    assert np.abs(difference_db(deep, deeper)).max() == 0
    assert difference_db(loud[:, :7], loud).shape == (4, 7)


def test_no_difference_is_white_and_sides_are_red_and_blue() -> None:
    """Guard the map's centre: it must not shift with the clip; beyond the limit it stays."""
    pixels = difference_picture(np.array([[0, 20, -20, 99]], np.float32), 20.0)[0].astype(int)
    assert pixels[0].min() > 240
    assert pixels[1][0] > 2 * pixels[1][2]
    assert pixels[2][2] > 2 * pixels[2][0]
    assert np.array_equal(pixels[1], pixels[3])


def test_each_channel_has_its_players(tmp_path: Path) -> None:
    """Guard what is compared: every channel by itself, with level, length and speed."""
    page = page_of_resynthesis([made(tmp_path, "a", channels=2)], [("model", "<tiny>")], 12)
    check_alone(page)
    assert page.count("<audio") == 4
    assert page.count("<img") == 6
    assert "a.wav, channel 2 of 2" in page
    assert "&lt;tiny&gt;" in page
    assert "2.0 x real time" in page
    assert "output minus input: -6.0 dB in the mean" in page
    assert "13,230 samples at 22,050 Hz" in page


def test_a_page_does_not_grow_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guard the caps: so many players, the beginning of each, so many rows; the page says it."""
    monkeypatch.setattr(resynthesis, "HEARD_S", 0.25)
    monkeypatch.setattr(resynthesis, "MOST_ROWS", 3)
    files = [made(tmp_path, f"f{number}", channels=3) for number in range(2)]
    files += [written(tmp_path / f"gone{n}.wav", tmp_path / "gone.wav", 1.0, 1.0) for n in range(5)]
    page = page_of_resynthesis(files, [], 2)
    assert page.count("<audio") == 4
    assert "at most the first 0.25 s" in page
    assert "values of the first 3 of 7 files" in page
    assert page.count('<th scope="row"') == 3
    assert len(page) < 200_000


def test_long_files_are_looked_through_in_flat_memory(tmp_path: Path) -> None:
    """Guard hours of sound: pages hold their beginning, levels are of all of it, memory is not."""
    sound = np.zeros((1, 8_000 * 1_200), np.float32)
    sound[0, : 8_000 * 31] = np.tile(speech(1.0, 8_000), 31) / 10
    sound[0, -3:] = 0.5, -1.0, 0.25
    for name in ("in.wav", "out.wav"):
        write_audio(tmp_path / name, sound, 8_000)
    made = [written(tmp_path / "in.wav", tmp_path / "out.wav", 1_200.0, 10.0)]
    tracemalloc.start()
    page, facts = page_of_resynthesis(made, [], 1), describe(tmp_path / "in.wav").facts
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < sound.nbytes / 1.5
    assert "1200.00 s, 9,600,000 samples at 8,000 Hz, peak -0.0" in page
    assert (facts["samples"], facts["length_s"], facts["channels"]) == (9_600_000, 1200, 1)
    assert (facts["peak_dbfs"], facts["samples_at_full_scale"]) == (0, 1)


def test_in_a_real_browser(tmp_path: Path) -> None:
    """Guard the page where it lives: it decodes, fits, and the caption's button plays its sound."""
    page = page_of_resynthesis([made(tmp_path, "a")], [("model", "tiny")], 12)
    script = (
        "(document.querySelectorAll('figcaption button')[1].click(), "
        "[...document.querySelectorAll('audio')].map((audio) => audio.paused))"
    )
    seen = seen_in_a_browser(page, tmp_path, script)
    assert seen["lengths"] == pytest.approx([0.6, 0.6], abs=0.01)
    assert len(seen["pictures"]) == 3
    assert all(width > 20 for width in seen["pictures"])
    assert seen["asked"] == [True, False]
