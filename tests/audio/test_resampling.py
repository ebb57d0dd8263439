"""Resampling keeps length, time, level and band, for any rates, in little time and memory."""

from __future__ import annotations

import resource
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hifigan_cli.audio.resampling import fit, resample, resampled_length

PAIRS = [(48_000, 22_050), (16_000, 22_050), (8000, 22_050), (44_100, 22_050), (192_000, 22_050)]
ODD = [(44_056, 22_050), (22_051, 22_050), (22_050, 44_057)]


def tone(
    hz: float, sample_rate: int, length_s: float = 1.0
) -> np.ndarray[tuple[int, int], np.dtype]:
    time_s = np.arange(round(sample_rate * length_s)) / sample_rate
    return (0.5 * np.sin(2 * np.pi * hz * time_s)).astype(np.float32)[None]


@given(
    samples=st.integers(0, 3000),
    from_hz=st.integers(4000, 192_000),
    to_hz=st.integers(4000, 192_000),
    channels=st.integers(1, 3),
)
def test_lengths_cover_the_same_time(samples: int, from_hz: int, to_hz: int, channels: int) -> None:
    """Guard the promised length for any rates, down to no samples at all."""
    converted = resample(np.zeros((channels, samples), np.float32), from_hz, to_hz)
    assert converted.shape == (channels, resampled_length(samples, from_hz, to_hz))
    assert converted.dtype == np.float32
    assert 0 <= converted.shape[1] * from_hz - samples * to_hz < from_hz


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS + ODD)
def test_a_tone_stays_in_time_and_level(from_hz: int, to_hz: int) -> None:
    """Guard delay and level at once: the tone equals one made at the new rate, but for the ends."""
    converted, made = resample(tone(1000, from_hz), from_hz, to_hz), tone(1000, to_hz)
    middle = slice(to_hz // 10, -to_hz // 10)
    assert np.abs(converted[0, middle] - made[0, middle]).max() < 1e-5


@pytest.mark.parametrize(("from_hz", "hz"), [(48_000, 15_000), (44_100, 12_000), (192_000, 50_000)])
def test_what_lies_above_nyquist_is_gone(from_hz: int, hz: float) -> None:
    """Guard against aliases, which a vocoder would sing along with: below -100 dB."""
    converted = resample(tone(hz, from_hz), from_hz, 22_050)
    assert np.abs(converted[0, 2000:-2000]).max() < 0.5e-5


def test_the_band_is_kept_up_to_ten_kilohertz() -> None:
    """Guard high frequencies: 10 kHz passes from 48 kHz to 22 050 Hz unweakened."""
    converted = resample(tone(10_000, 48_000), 48_000, 22_050)[0, 2000:-2000]
    assert np.sqrt(2 * np.mean(converted**2)) == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize(("from_hz", "to_hz"), ODD)
def test_odd_rates_are_fast_and_small(from_hz: int, to_hz: int) -> None:
    """Guard row 10: rates without a common divisor; torchaudio's filter would take gigabytes."""
    samples = tone(440, from_hz, 20.0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    resample(samples, from_hz, to_hz)
    assert time.process_time() - start < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024


def test_channels_stay_apart() -> None:
    """Guard that channels are neither mixed nor swapped."""
    both = np.concatenate([tone(500, 48_000), tone(2000, 48_000)])
    converted = resample(both, 48_000, 22_050)
    for channel in range(2):
        alone = resample(both[channel : channel + 1], 48_000, 22_050)
        np.testing.assert_allclose(converted[channel], alone[0], atol=1e-7)


def test_the_same_rate_is_the_same_sound() -> None:
    """Guard that nothing is filtered where nothing is to be done."""
    samples = tone(10_900, 22_050)
    assert resample(samples, 22_050, 22_050) is samples


@given(samples=st.integers(0, 50), length=st.integers(0, 50))
def test_fit_cuts_or_pads_the_end(samples: int, length: int) -> None:
    """Guard the exact length of an output."""
    fitted = fit(np.ones((2, samples), np.float32), length)
    assert fitted.shape == (2, length)
    assert (fitted.sum(axis=1) == min(samples, length)).all()
