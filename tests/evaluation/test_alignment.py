"""Delays are found, and shared delays are taken out of a whole folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hifigan_cli.audio import resample, write_audio
from hifigan_cli.errors import InputError
from hifigan_cli.evaluation import evaluate
from hifigan_cli.evaluation.clips import find_lag, read_clips, shift
from tests.evaluation.damage import SAMPLE_RATE, clip, late, louder, noisy, write_folder


@settings(max_examples=15)
@given(st.integers(-4000, 4000), st.integers(0, 3))
def test_a_delay_is_found_to_a_millisecond(lag: int, seed: int) -> None:
    """Guard the lag in both directions, with noise and another level: an envelope is no sharper."""
    sound = clip(seed, 1.5)
    pair = (sound, late(sound, lag)) if lag >= 0 else (late(sound, -lag), sound)
    found = find_lag(pair[0], noisy(louder(pair[1])))
    assert found is not None
    assert abs(found - lag) <= SAMPLE_RATE / 1000


@given(st.integers(-50, 50), st.integers(1, 200), st.integers(1, 200))
def test_shifted_clips_are_equally_long_and_in_step(lag: int, first: int, second: int) -> None:
    """Guard the cut: sample i of one is sample i + lag of the other."""
    a, b = shift(np.arange(first, dtype=np.float32), np.arange(second, dtype=np.float32), lag)
    assert len(a) == len(b) == max(0, min(first - max(-lag, 0), second - max(lag, 0)))
    assert (b - a == lag).all()


def test_silence_has_no_delay() -> None:
    """Guard a clip of silence: it does not vote."""
    assert find_lag(np.zeros(5000, np.float32), clip()[:5000]) is None


def test_one_delay_a_system(tmp_path: Path) -> None:
    """A folder whose results are all late is judged as if they were not; --no-align is not."""
    sounds = {name: clip(seed, 1.2) for seed, name in enumerate("abc")}
    reference = write_folder(tmp_path / "ref", sounds)
    delayed = {name: late(sound, 333) for name, sound in sounds.items()}
    delayed["c"] = late(sounds["c"], 900)  # one that differs does not move the others
    hypothesis = write_folder(tmp_path / "hyp", delayed)
    report = evaluate(reference, hypothesis, metrics=["mel"], workers=1)
    assert report.lag_samples == pytest.approx(333, abs=11)
    assert report.lag_ms == pytest.approx(15.1, abs=0.5)
    by_name = {c.name: c.values["mel_l1"] for c in report.clips}
    assert by_name["a"] == pytest.approx(0, abs=0.1)
    assert (by_name["c"] or 0) > 0.3
    unaligned = evaluate(reference, hypothesis, metrics=["mel"], align=False, workers=1)
    assert (unaligned.clips[0].values["mel_l1"] or 0) > 0.1
    assert unaligned.lag_samples == 0


def test_rates_channels_and_lengths_that_differ(tmp_path: Path) -> None:
    """Guard what makes files comparable: rate, band, channels, length; each said in a note."""
    sound = clip(0, 1.0)
    narrow = resample(sound[None], SAMPLE_RATE, 16_000)
    write_audio(tmp_path / "ref.wav", sound, SAMPLE_RATE)
    write_audio(tmp_path / "hyp.wav", np.concatenate([narrow, narrow])[:, :14_000], 16_000)
    clips = read_clips(tmp_path / "ref.wav", tmp_path / "hyp.wav")
    assert clips.top_hz == 8000
    assert [note.split(",")[0] for note in clips.notes] == [
        "1 and 2 channels",
        "the result is 0.12 s shorter than its reference",
        "compared up to 8000 Hz",
    ]
    (pair,) = clips.aligned(0)
    assert pair.sample_rate == SAMPLE_RATE
    assert abs(pair.reference - pair.hypothesis)[200:-200].max() < 0.05
    with pytest.raises(InputError, match="to compare"):
        clips.aligned(SAMPLE_RATE)


def test_channels_are_judged_by_themselves(tmp_path: Path) -> None:
    """Guard stereo: a channel that is wrong shows, however well the mix of both would do."""
    sound = clip(0, 1.0)
    write_audio(tmp_path / "ref.wav", np.stack([sound, sound]), SAMPLE_RATE)
    write_audio(tmp_path / "hyp.wav", np.stack([sound, louder(sound)]), SAMPLE_RATE)
    report = evaluate(tmp_path / "ref.wav", tmp_path / "hyp.wav", metrics=["high_bias"])
    assert report.clips[0].values["high_bias"] == pytest.approx(1.0, abs=0.05)  # of 0 and 2 dB
