"""Test segments at other speeds and levels, as functions of seed, step and slot."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hifigan_cli.data.augmentation import AugmentedBatches
from hifigan_cli.data.sampler import RandomStream, uniform
from tests.data.corpora import SAMPLE_RATE, config, prepare_and_open, write_corpus

ValueRange = tuple[float, float]
BatchFactory = Callable[[ValueRange, ValueRange], AugmentedBatches]


@pytest.fixture(scope="module")
def make_batches(tmp_path_factory: pytest.TempPathFactory) -> BatchFactory:
    """Return a function that creates batches of segments of 4096 samples."""
    folder = tmp_path_factory.mktemp("augmentation")
    data = prepare_and_open(write_corpus(folder / "in", 2), folder / "out")
    options = {"seed": 1, "segment_size": 4096}
    return lambda rate, level: AugmentedBatches(
        data, config(**options, speed_range=rate, gain_range=level)
    )


@settings(max_examples=40)
@given(step=st.integers(0, 10**6), slot=st.integers(0, 63), missing=st.integers(0, 3_000))
def test_segment_length(make_batches: BatchFactory, step: int, slot: int, missing: int) -> None:
    """Segments have the right length at any speed, and are a function of step and slot."""
    batches = make_batches((0.7, 1.3), (0.2, 1.0))
    length = batches.source_length(step, slot)
    assert 4096 * 0.7 <= length <= 4096 * 1.3 + 65
    samples = np.random.default_rng(0).normal(size=length - missing).astype(np.float32)
    first, second = (batches.augment(samples, step, slot) for _ in range(2))
    assert first.shape == (4096,)
    assert first.dtype == np.float32
    assert np.array_equal(first, second)


@pytest.mark.parametrize("rate", [0.75, 1.2])
def test_pitch_changes_with_speed(make_batches: BatchFactory, rate: float) -> None:
    """A tone at another speed has that many times the frequency."""
    batches = make_batches((rate, rate), (1.0, 1.0))
    time = np.arange(batches.source_length(0, 0))
    tone = np.sin(2 * np.pi * 1_000 * time / SAMPLE_RATE).astype(np.float32)
    spectrum = np.abs(np.fft.rfft(batches.augment(tone, 0, 0) * np.hanning(4096)))
    assert np.argmax(spectrum) * SAMPLE_RATE / 4096 == pytest.approx(1_000 * rate, abs=6)


def test_levels_cover_their_range(make_batches: BatchFactory) -> None:
    """Every step and slot has its own level."""
    batches = make_batches((1.0, 1.0), (0.25, 0.75))
    ones = np.ones(4200, np.float32)
    peaks = {float(batches.augment(ones, s, k).max()) for s in range(20) for k in range(4)}
    assert len(peaks) == 80
    assert 0.25 <= min(peaks) < 0.35
    assert 0.65 < max(peaks) <= 0.75


def test_purposes_have_independent_values() -> None:
    """The speed and the level of a segment are uncorrelated."""
    pairs = [
        (uniform(0, RandomStream.SPEED, s, 0), uniform(0, RandomStream.GAIN, s, 0))
        for s in range(300)
    ]
    assert abs(np.corrcoef(np.array(pairs).T)[0, 1]) < 0.2
    assert all(0 <= number < 1 for pair in pairs for number in pair)
