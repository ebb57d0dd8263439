"""Delays are measured, and a common delay of a folder is removed."""

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
from tests.evaluation.degradations import SAMPLE_RATE, add_noise, amplify, clip, delay, write_folder


@settings(max_examples=15)
@given(st.integers(-4000, 4000), st.integers(0, 3))
def test_delay_is_measured_to_a_millisecond(lag: int, seed: int) -> None:
    """The lag may be positive or negative; the delayed clip has noise and another level."""
    sound = clip(seed, 1.5)
    pair = (sound, delay(sound, lag)) if lag >= 0 else (delay(sound, -lag), sound)
    measured = find_lag(pair[0], add_noise(amplify(pair[1])))
    assert measured is not None
    assert abs(measured - lag) <= SAMPLE_RATE / 1000


@given(st.integers(-50, 50), st.integers(1, 200), st.integers(1, 200))
def test_shifted_clips_are_aligned(lag: int, first: int, second: int) -> None:
    """Sample i of one clip corresponds to sample i + lag of the other."""
    a, b = shift(np.arange(first, dtype=np.float32), np.arange(second, dtype=np.float32), lag)
    assert len(a) == len(b) == max(0, min(first - max(-lag, 0), second - max(lag, 0)))
    assert (b - a == lag).all()


def test_silence_has_no_delay() -> None:
    """The lag of a silent clip is None, so it does not affect the median."""
    assert find_lag(np.zeros(5000, np.float32), clip()[:5000]) is None


def test_common_delay_is_removed(tmp_path: Path) -> None:
    """All results are shifted by the median lag, unless `align` is off."""
    sounds = {name: clip(seed, 1.2) for seed, name in enumerate("abc")}
    reference = write_folder(tmp_path / "ref", sounds)
    delayed = {name: delay(sound, 333) for name, sound in sounds.items()}
    delayed["c"] = delay(sounds["c"], 900)  # a different delay does not affect the others
    generated = write_folder(tmp_path / "generated", delayed)
    report = evaluate(reference, generated, metrics=["mel"], workers=1)
    assert report.lag_samples == pytest.approx(333, abs=11)
    assert report.lag_ms == pytest.approx(15.1, abs=0.5)
    by_name = {c.name: c.values["mel_l1"] for c in report.clips}
    assert by_name["a"] == pytest.approx(0, abs=0.1)
    assert (by_name["c"] or 0) > 0.3
    unaligned = evaluate(reference, generated, metrics=["mel"], align=False, workers=1)
    assert (unaligned.clips[0].values["mel_l1"] or 0) > 0.1
    assert unaligned.lag_samples == 0


def test_rates_channels_and_lengths_that_differ(tmp_path: Path) -> None:
    """The files are compared anyway, with a note for each difference."""
    sound = clip(0, 1.0)
    narrow = resample(sound[None], SAMPLE_RATE, 16_000)
    write_audio(tmp_path / "ref.wav", sound, SAMPLE_RATE)
    write_audio(tmp_path / "generated.wav", np.concatenate([narrow, narrow])[:, :14_000], 16_000)
    clips = read_clips(tmp_path / "ref.wav", tmp_path / "generated.wav")
    assert clips.bandwidth_hz == 8000
    for note, fact in zip(clips.notes, ("1 and 2", "0.12 s shorter", "8000 Hz"), strict=True):
        assert fact in note
    (pair,) = clips.aligned(0)
    assert pair.sample_rate == SAMPLE_RATE
    assert abs(pair.reference - pair.generated)[200:-200].max() < 0.05
    with pytest.raises(InputError, match=r"\d s"):
        clips.aligned(SAMPLE_RATE)


def test_channels_are_scored_separately(tmp_path: Path) -> None:
    """An error in one channel changes the score, even if the mix of both would hide it."""
    sound = clip(0, 1.0)
    write_audio(tmp_path / "ref.wav", np.stack([sound, sound]), SAMPLE_RATE)
    write_audio(tmp_path / "generated.wav", np.stack([sound, amplify(sound)]), SAMPLE_RATE)
    report = evaluate(tmp_path / "ref.wav", tmp_path / "generated.wav", metrics=["high_bias"])
    assert report.clips[0].values["high_bias"] == pytest.approx(1.0, abs=0.05)  # of 0 and 2 dB
