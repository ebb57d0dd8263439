"""What makes a recording unfit, and how a fit one becomes 16 bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hifigan_cli.audio.levels import clipped_samples, swing
from hifigan_cli.data.preparation import clip as levels
from tests.helpers import speech


@given(st.lists(st.integers(-32_768, 32_767), min_size=1, max_size=200))
def test_sixteen_bit_samples_are_stored_exactly(values: list[int]) -> None:
    """Whatever already is a 16-bit number stays that number, at either extreme."""
    samples = (np.array(values, np.float32) / 32_768).astype(np.float32)
    for keep_level in (False, True):
        stored, gain = levels.to_stored_int16(samples, keep_level)
        assert stored.tolist() == values
        assert gain == 1


@pytest.mark.parametrize(("seed", "level"), [(0, 0.01), (1, 0.003), (2, 1.0)])
def test_others_fill_the_range(seed: int, level: float) -> None:
    """A quiet recording of more than 16 bits loses nothing: its error is that of a loud one."""
    samples = (np.random.default_rng(seed).uniform(-1, 1, 5000) * level).astype(np.float32)
    stored, gain = levels.to_stored_int16(samples, keep_level=False)
    assert np.abs(stored).max() == round(0.95 * 32_768)
    assert np.abs(stored / (32_768 * gain) - samples).max() <= 0.51 / 32_768 * level / 0.95


def test_level_is_kept_beside_a_mel() -> None:
    """A given mel belongs to the level of its recording, and what exceeds the range is held."""
    samples = np.array([0.1234567, -0.5, 1.0], np.float32)
    stored, gain = levels.to_stored_int16(samples, keep_level=True)
    assert gain == 1
    assert stored.tolist() == [4045, -16_384, 32_767]


def test_clipping_is_a_plateau_not_a_peak() -> None:
    """A clean tone at full scale is no clipping at any pitch; the same tone driven harder is."""
    time_s = np.arange(22_050) / 22_050
    for hz in (60, 100, 1000):
        tone = np.sin(2 * np.pi * hz * time_s)[None].astype(np.float32)
        assert clipped_samples(tone) < 0.01 * tone.size
        driven = np.clip(1.2 * tone, -1, 1)
        assert clipped_samples(driven) > 0.1 * tone.size
        assert clipped_samples(driven * np.float32(127 / 128)) > 0.1 * tone.size
        assert clipped_samples(0.5 * driven) == 0


def test_offset_is_no_sound() -> None:
    """A constant offset is as silent as zero."""
    assert swing(np.full((1, 100), 0.5, np.float32)) == 0


@pytest.mark.parametrize(("before", "after"), [(0.3, 0.5), (0.0, 0.2), (0.02, 0.01)])
def test_trim_leaves_a_margin(before: float, after: float) -> None:
    """Silence goes, 50 ms of it stay, and no speech is cut."""
    sample_rate = 22_050
    voice = speech(0.5, seed=3) + np.float32(0.1)
    lead, tail = (np.full(round(s * sample_rate), 1e-5, np.float32) for s in (before, after))
    part = levels.sounding(np.concatenate([lead, voice, tail]), sample_rate)
    block = round(levels.TRIM_BLOCK_S * sample_rate)
    margin = round(levels.TRIM_MARGIN_S * sample_rate)
    assert max(0, len(lead) - margin - block) <= part.start <= max(0, len(lead) - margin)
    wanted = len(lead) + len(voice) + min(len(tail), margin)
    assert wanted <= part.stop <= wanted + block
