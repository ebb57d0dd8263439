"""Segments at other rates and levels: functions of seed, step and slot, of the right length."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hifigan_cli.data.augmentation import AugmentedBatches
from hifigan_cli.data.sampler import Purpose, uniform
from tests.data.corpora import SAMPLE_RATE, config, corpus, prepared

Range = tuple[float, float]
Recipe = Callable[[Range, Range], AugmentedBatches]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """Return what makes batches of segments of 4096 samples."""
    folder = tmp_path_factory.mktemp("augmentation")
    data = prepared(corpus(folder / "in", 2), folder / "out")
    options = {"seed": 1, "segment_size": 4096}
    return lambda rate, level: AugmentedBatches(
        data, config(**options, speed_range=rate, peak_range=level)
    )


@settings(max_examples=40)
@given(step=st.integers(0, 10**6), slot=st.integers(0, 63), short=st.integers(0, 3_000))
def test_a_segment_has_its_length(recipe: Recipe, step: int, slot: int, short: int) -> None:
    """Whatever the rate, also where the clip ends early; the same draw gives the same samples."""
    variation = recipe((0.7, 1.3), (0.2, 1.0))
    stretch = variation.stretch(step, slot)
    assert 4096 * 0.7 <= stretch <= 4096 * 1.3 + 65
    samples = np.random.default_rng(0).normal(size=stretch - short).astype(np.float32)
    first, second = (variation.augment(samples, step, slot) for _ in range(2))
    assert first.shape == (4096,)
    assert first.dtype == np.float32
    assert np.array_equal(first, second)


@pytest.mark.parametrize("rate", [0.75, 1.2])
def test_the_pitch_moves_with_the_rate(recipe: Recipe, rate: float) -> None:
    """A tone played at another rate has that many times the frequency."""
    variation = recipe((rate, rate), (1.0, 1.0))
    time = np.arange(variation.stretch(0, 0))
    tone = np.sin(2 * np.pi * 1_000 * time / SAMPLE_RATE).astype(np.float32)
    spectrum = np.abs(np.fft.rfft(variation.augment(tone, 0, 0) * np.hanning(4096)))
    assert np.argmax(spectrum) * SAMPLE_RATE / 4096 == pytest.approx(1_000 * rate, abs=6)


def test_levels_lie_in_their_range_and_differ(recipe: Recipe) -> None:
    """Slots and steps draw for themselves."""
    variation = recipe((1.0, 1.0), (0.25, 0.75))
    ones = np.ones(4200, np.float32)
    peaks = {float(variation.augment(ones, s, k).max()) for s in range(20) for k in range(4)}
    assert len(peaks) == 80
    assert 0.25 <= min(peaks) < 0.35
    assert 0.65 < max(peaks) <= 0.75


def test_draws_of_different_purpose_differ() -> None:
    """Rate and level of one segment do not move together."""
    pairs = [(uniform(0, Purpose.RATE, s, 0), uniform(0, Purpose.LEVEL, s, 0)) for s in range(300)]
    assert abs(np.corrcoef(np.array(pairs).T)[0, 1]) < 0.2
    assert all(0 <= number < 1 for pair in pairs for number in pair)
