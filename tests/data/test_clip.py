"""Test the rejection of recordings and the conversion to 16 bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hifigan_cli.audio.levels import count_clipped, peak_without_offset
from hifigan_cli.data.preparation import clip
from tests.helpers import speech


@given(st.lists(st.integers(-32_768, 32_767), min_size=1, max_size=200))
def test_sixteen_bit_samples_are_stored_exactly(values: list[int]) -> None:
    """Exact 16-bit numbers stay unchanged, including both extremes."""
    samples = (np.array(values, np.float32) / 32_768).astype(np.float32)
    for keep_level in (False, True):
        stored, gain = clip.to_stored_int16(samples, keep_level)
        assert stored.tolist() == values
        assert gain == 1


@pytest.mark.parametrize(("seed", "level"), [(0, 0.01), (1, 0.003), (2, 1.0)])
def test_other_samples_are_normalized(seed: int, level: float) -> None:
    """A quiet recording of more than 16 bits has the rounding error of a loud one."""
    samples = (np.random.default_rng(seed).uniform(-1, 1, 5000) * level).astype(np.float32)
    stored, gain = clip.to_stored_int16(samples, keep_level=False)
    assert np.abs(stored).max() == round(0.95 * 32_768)
    assert np.abs(stored / (32_768 * gain) - samples).max() <= 0.51 / 32_768 * level / 0.95


def test_level_is_kept_with_mel() -> None:
    """An input mel matches the level of its recording, so samples are clipped, not scaled."""
    samples = np.array([0.1234567, -0.5, 1.0], np.float32)
    stored, gain = clip.to_stored_int16(samples, keep_level=True)
    assert gain == 1
    assert stored.tolist() == [4045, -16_384, 32_767]


def test_clipping_needs_plateaus() -> None:
    """A clean tone at full scale is not clipped at any pitch; with more gain it is."""
    time_s = np.arange(22_050) / 22_050
    for hz in (60, 100, 1000):
        tone = np.sin(2 * np.pi * hz * time_s)[None].astype(np.float32)
        assert count_clipped(tone) < 0.01 * tone.size
        driven = np.clip(1.2 * tone, -1, 1)
        assert count_clipped(driven) > 0.1 * tone.size
        assert count_clipped(driven * np.float32(127 / 128)) > 0.1 * tone.size
        assert count_clipped(0.5 * driven) == 0


def test_constant_offset_is_silent() -> None:
    """A constant offset is as silent as zero."""
    assert peak_without_offset(np.full((1, 100), 0.5, np.float32)) == 0


@pytest.mark.parametrize(("before", "after"), [(0.3, 0.5), (0.0, 0.2), (0.02, 0.01)])
def test_trim_leaves_a_margin(before: float, after: float) -> None:
    """Trimming keeps 50 ms of silence and cuts no speech."""
    sample_rate = 22_050
    voice = speech(0.5, seed=3) + np.float32(0.1)
    lead, tail = (np.full(round(s * sample_rate), 1e-5, np.float32) for s in (before, after))
    part = clip.nonsilent_slice(np.concatenate([lead, voice, tail]), sample_rate)
    block = round(clip.TRIM_BLOCK_S * sample_rate)
    margin = round(clip.TRIM_MARGIN_S * sample_rate)
    assert max(0, len(lead) - margin - block) <= part.start <= max(0, len(lead) - margin)
    wanted = len(lead) + len(voice) + min(len(tail), margin)
    assert wanted <= part.stop <= wanted + block
