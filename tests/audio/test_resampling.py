"""Resampling preserves duration, delay, level and band for any rates, in little time and memory."""

from __future__ import annotations

import resource
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hifigan_cli.audio.resampling import pad_or_trim, resample, resampled_length

PAIRS = [(48_000, 22_050), (16_000, 22_050), (8000, 22_050), (44_100, 22_050), (192_000, 22_050)]
ODD_PAIRS = [(44_056, 22_050), (22_051, 22_050), (22_050, 44_057)]


def tone(
    hz: float, sample_rate: int, length_s: float = 1.0
) -> np.ndarray[tuple[int, int], np.dtype]:
    time_s = np.arange(round(sample_rate * length_s)) / sample_rate
    return (0.5 * np.sin(2 * np.pi * hz * time_s)).astype(np.float32)[None]


@given(
    samples=st.integers(0, 3000),
    orig_sr=st.integers(4000, 192_000),
    target_sr=st.integers(4000, 192_000),
    channels=st.integers(1, 3),
)
def test_length_covers_the_same_duration(
    samples: int, orig_sr: int, target_sr: int, channels: int
) -> None:
    """The duration is equal for any pair of rates, also without samples."""
    converted = resample(np.zeros((channels, samples), np.float32), orig_sr, target_sr)
    assert converted.shape == (channels, resampled_length(samples, orig_sr, target_sr))
    assert converted.dtype == np.float32
    assert 0 <= converted.shape[1] * orig_sr - samples * target_sr < orig_sr


@pytest.mark.parametrize(("orig_sr", "target_sr"), PAIRS + ODD_PAIRS)
def test_tone_preserves_delay_and_level(orig_sr: int, target_sr: int) -> None:
    """Except near the ends, the tone equals one generated at the new rate."""
    converted, expected = resample(tone(1000, orig_sr), orig_sr, target_sr), tone(1000, target_sr)
    middle = slice(target_sr // 10, -target_sr // 10)
    assert np.abs(converted[0, middle] - expected[0, middle]).max() < 1e-5


@pytest.mark.parametrize(("orig_sr", "hz"), [(48_000, 15_000), (44_100, 12_000), (192_000, 50_000)])
def test_frequencies_above_nyquist_are_removed(orig_sr: int, hz: float) -> None:
    """Aliases, which a vocoder would reproduce, are below -100 dB."""
    converted = resample(tone(hz, orig_sr), orig_sr, 22_050)
    assert np.abs(converted[0, 2000:-2000]).max() < 0.5e-5


def test_band_up_to_10_khz_is_preserved() -> None:
    """A tone of 10 kHz passes from 48 kHz to 22 050 Hz without loss."""
    converted = resample(tone(10_000, 48_000), 48_000, 22_050)[0, 2000:-2000]
    assert np.sqrt(2 * np.mean(converted**2)) == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize(("orig_sr", "target_sr"), ODD_PAIRS)
def test_odd_rates_need_little_time_and_memory(orig_sr: int, target_sr: int) -> None:
    """Row 10: without a common divisor, torchaudio's filter would take gigabytes."""
    samples = tone(440, orig_sr, 20.0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    resample(samples, orig_sr, target_sr)
    assert time.process_time() - start < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024


def test_channels_stay_separate() -> None:
    """Channels are neither mixed nor swapped."""
    stereo = np.concatenate([tone(500, 48_000), tone(2000, 48_000)])
    converted = resample(stereo, 48_000, 22_050)
    for channel in range(2):
        mono = resample(stereo[channel : channel + 1], 48_000, 22_050)
        np.testing.assert_allclose(converted[channel], mono[0], atol=1e-7)


def test_same_rate_returns_the_input() -> None:
    """Nothing is filtered."""
    samples = tone(10_900, 22_050)
    assert resample(samples, 22_050, 22_050) is samples


@given(samples=st.integers(0, 50), length=st.integers(0, 50))
def test_pad_or_trim(samples: int, length: int) -> None:
    """The end is padded with zeros or trimmed to the length."""
    result = pad_or_trim(np.ones((2, samples), np.float32), length)
    assert result.shape == (2, length)
    assert (result.sum(axis=1) == min(samples, length)).all()
