"""Each metric is perfect for a perfect copy, and known damage moves those that should see it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hifigan_cli.evaluation.clips import ChannelPair
from hifigan_cli.evaluation.metrics import COLUMNS, METRIC_OF, METRICS, score_channels
from hifigan_cli.evaluation.spectral import (
    high_bias,
    log_magnitude,
    magnitudes,
    mel_errors,
    silence_delta,
)
from hifigan_cli.evaluation.speech import envelope_distance_db
from hifigan_cli.types import FloatArray
from tests.audio.reference_mel import log_mel
from tests.evaluation.damage import SAMPLE_RATE, clip, dull, hum, late, louder, noisy

PERFECT = {"pesq": 4.64, "estoi": 1.0, "stoi": 1.0}
# These score one clip, so that a copy has no perfect score; only its change is zero.
MOS = {name for name in COLUMNS if name.startswith(("distillmos", "dnsmos"))}


def scores(name: str, reference: FloatArray, hypothesis: FloatArray) -> dict[str, float | None]:
    """Return the values of one metric, or skip where its package is missing."""
    metric = next(m for m in METRICS if m.name == name)
    if metric.missing:
        pytest.skip(f"needs {metric.missing}: the `evaluate` extra installs it")
    return metric.compute(ChannelPair(reference, hypothesis))


def figure(column: str, reference: FloatArray, hypothesis: FloatArray) -> float:
    value = scores(METRIC_OF[column].name, reference, hypothesis)[column]
    assert value is not None
    return value


def seeds_for(name: str) -> tuple[int, ...]:
    """Return the clips to try: two, but one for the networks, which take a second each."""
    return (0,) if name.startswith(("distillmos", "dnsmos")) else (0, 1)


@pytest.mark.parametrize("name", [metric.name for metric in METRICS])
def test_a_copy_is_perfect(name: str) -> None:
    """Guard each metric's end of the scale, for two clips."""
    for seed in seeds_for(name):
        sound = clip(seed)
        for column, value in scores(name, sound, sound.copy()).items():
            assert value is not None, column
            if column in MOS and not column.endswith("_change"):
                assert 1 <= value <= 5, column
            else:
                assert value == pytest.approx(PERFECT.get(column, 0.0), abs=5e-3), column


SEEN = [
    (louder, "mel_l1", 0.1, 0.231),  # 2 dB are 0.23 in natural logarithms; less at the floor
    (louder, "log_magnitude", 0.1, 0.231),
    (louder, "mcd", -1e-6, 0.4),  # the level is coefficient 0, which is left out
    (louder, "silence_delta", 1.9, 2.1),
    (louder, "high_bias", 1.9, 2.1),
    (louder, "vuv_error", -1e-6, 2.0),
    (hum, "silence_delta", 10, 40),
    (hum, "high_bias", -0.1, 0.1),
    (hum, "estoi", 0.95, 1.0),  # it misses hum: that is why the level in silence is measured
    (dull, "high_bias", -60, -10),
    (dull, "silence_delta", -10, 0),
    (dull, "mel_l1_full", 0.2, 5),
    (dull, "estoi", 0.99, 1.001),  # it misses the highs
    (dull, "f0_rmse", -1e-6, 5),
    (noisy, "silence_delta", 20, 50),
    (noisy, "high_bias", 5, 40),
    (noisy, "mcd", 2, 40),
    (noisy, "pesq", 1.0, 4.0),
    (noisy, "estoi", 0.1, 0.98),
    (noisy, "dnsmos_bak_change", -4, -0.02),
]


@pytest.mark.parametrize(
    ("damage", "column", "low", "high"), SEEN, ids=[f"{d.__name__}-{c}" for d, c, _, _ in SEEN]
)
def test_damage_moves_what_should_see_it(
    damage: object, column: str, low: float, high: float
) -> None:
    """Guard direction and rough size of each metric, for two clips."""
    assert callable(damage)
    for seed in seeds_for(column):
        sound = clip(seed)
        assert low <= figure(column, sound, damage(sound)) <= high


def test_a_delay_costs_until_it_is_taken_out() -> None:
    """Guard that metrics see a delay at all: alignment is what removes it, not blindness."""
    sound = clip()
    for column in ("mel_l1", "log_magnitude"):
        assert figure(column, sound, late(sound, 700)) > 0.1


@given(st.integers(1200, 9000), st.integers(0, 2**31))
def test_mel_error_is_the_reference_mels_difference(length: int, seed: int) -> None:
    """Guard mel_l1 against the slow mel of the tests, for any length."""
    rng = np.random.default_rng(seed)
    one, two = (0.1 * rng.standard_normal((2, length))).astype(np.float32)
    slow = float(np.abs(log_mel(one) - log_mel(two)).mean())
    assert mel_errors(ChannelPair(one, two))["mel_l1"] == pytest.approx(slow, abs=1e-4)


@given(st.integers(1200, 9000), st.floats(1.0, 12.0), st.integers(0, 2**31))
def test_gain_is_read_as_it_is(length: int, gain_db: float, seed: int) -> None:
    """Guard the decibels: a gain shows as itself in the bias, as its logarithm in the STFT."""
    rng = np.random.default_rng(seed)
    sound = (0.05 * rng.standard_normal(length)).astype(np.float32)
    pair = ChannelPair(sound, (sound * 10 ** (gain_db / 20)).astype(np.float32))
    assert high_bias(pair)["high_bias"] == pytest.approx(gain_db, abs=0.01)
    in_logs = gain_db / 20 * np.log(10)
    assert log_magnitude(pair)["log_magnitude"] == pytest.approx(in_logs, rel=0.02)


@pytest.mark.parametrize("samples", [1, 300, 1025])
def test_short_clips_have_spectra(samples: int) -> None:
    """Guard clips shorter than a window: padded, not refused."""
    spectrum = magnitudes(np.ones(samples, np.float32), 2048)
    assert torch.isfinite(spectrum).all()
    assert spectrum.shape[0] == 1025


def test_no_silence_and_no_highs_are_said() -> None:
    """Guard honesty: a figure that a clip cannot give is None, not 0."""
    steady = np.full(SAMPLE_RATE, 0.1, np.float32)
    assert silence_delta(ChannelPair(steady, steady)) == {"silence_delta": None}
    assert high_bias(ChannelPair(clip(), clip(), top_hz=8000.0)) == {"high_bias": None}
    with_none = [ChannelPair(clip(), clip(), top_hz=8000.0), ChannelPair(clip(), louder(clip()))]
    value = score_channels(with_none, ["high"])["high_bias"]
    assert value == pytest.approx(2.0, abs=0.1), "the mean is over the channels that have it"


def test_silence_has_no_score_and_no_crash() -> None:
    """Guard digital silence on either side of every metric that compares."""
    sound, nothing = clip(), np.zeros_like(clip())
    for metric in METRICS:
        if metric.name in ("distillmos", "dnsmos") or metric.missing:
            continue
        for pair in (
            ChannelPair(sound, nothing),
            ChannelPair(nothing, sound),
            ChannelPair(nothing, nothing),
        ):
            for column, value in metric.compute(pair).items():
                assert value is None or np.isfinite(value), (column, value)


@pytest.mark.parametrize("ripple", [1, 3, 11])
def test_cepstral_distortion_is_in_decibels(ripple: int) -> None:
    """Guard its scale: envelopes that differ by a ripple over the mel axis are its root mean square
    apart; a difference in level alone is no distortion."""
    pytest.importorskip("pyworld")
    bins_hz = np.arange(513) * SAMPLE_RATE / 1024
    mel, low = (1127 * np.log1p(hz / 700) for hz in (np.maximum(bins_hz, 40), 40))
    share = (mel - low) / (mel[-1] - low)
    flat = np.full((3, 513), 1e-3)
    rippled = flat * 10 ** (2.5 * np.sqrt(2) * np.cos(np.pi * ripple * share) / 10)
    assert envelope_distance_db(flat, 4 * rippled, SAMPLE_RATE) == pytest.approx(
        [2.5] * 3, rel=0.02
    )
