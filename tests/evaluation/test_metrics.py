"""Metrics are perfect for a copy, and known degradations change the metrics that measure them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hifigan_cli.evaluation.clips import ChannelPair
from hifigan_cli.evaluation.metrics import COLUMNS, METRIC_BY_COLUMN, METRICS, score_channels
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
from tests.evaluation.degradations import (
    SAMPLE_RATE,
    add_hum,
    add_noise,
    amplify,
    clip,
    delay,
    low_pass,
)

PERFECT = {"pesq": 4.64, "estoi": 1.0, "stoi": 1.0}
# These score a clip without a reference, so for a copy only the change is known: zero.
MOS = {name for name in COLUMNS if name.startswith(("distillmos", "dnsmos"))}


def scores(name: str, reference: FloatArray, generated: FloatArray) -> dict[str, float | None]:
    """Return the values of one metric; skip the test if its package is missing."""
    metric = next(m for m in METRICS if m.name == name)
    if metric.missing:
        pytest.skip(f"needs {metric.missing}: the `evaluate` extra installs it")
    return metric.compute(ChannelPair(reference, generated))


def metric_value(column: str, reference: FloatArray, generated: FloatArray) -> float:
    value = scores(METRIC_BY_COLUMN[column].name, reference, generated)[column]
    assert value is not None
    return value


def seeds_for(name: str) -> tuple[int, ...]:
    """Return the seeds of the clips: two, but one for the networks, which take a second each."""
    return (0,) if name.startswith(("distillmos", "dnsmos")) else (0, 1)


@pytest.mark.parametrize("name", [metric.name for metric in METRICS])
def test_copy_has_the_best_value(name: str) -> None:
    """Each metric has its best value for a copy of the reference."""
    for seed in seeds_for(name):
        sound = clip(seed)
        for column, value in scores(name, sound, sound.copy()).items():
            assert value is not None, column
            if column in MOS and not column.endswith("_change"):
                assert 1 <= value <= 5, column
            else:
                assert value == pytest.approx(PERFECT.get(column, 0.0), abs=5e-3), column


EXPECTED_RANGES = [
    (amplify, "mel_l1", 0.1, 0.231),  # 2 dB are 0.23 in natural logarithms; less at the floor
    (amplify, "log_magnitude", 0.1, 0.231),
    (amplify, "mcd", -1e-6, 0.4),  # the level is coefficient 0, which MCD ignores
    (amplify, "silence_delta", 1.9, 2.1),
    (amplify, "high_bias", 1.9, 2.1),
    (amplify, "vuv_error", -1e-6, 2.0),
    (add_hum, "silence_delta", 10, 40),
    (add_hum, "high_bias", -0.1, 0.1),
    (add_hum, "estoi", 0.95, 1.0),  # it ignores hum, so the level in silence is measured
    (low_pass, "high_bias", -60, -10),
    (low_pass, "silence_delta", -10, 0),
    (low_pass, "mel_l1_full", 0.2, 5),
    (low_pass, "estoi", 0.99, 1.001),  # it ignores high frequencies
    (low_pass, "f0_rmse", -1e-6, 5),
    (add_noise, "silence_delta", 20, 50),
    (add_noise, "high_bias", 5, 40),
    (add_noise, "mcd", 2, 40),
    (add_noise, "pesq", 1.0, 4.0),
    (add_noise, "estoi", 0.1, 0.98),
    (add_noise, "dnsmos_bak_change", -4, -0.02),
]


@pytest.mark.parametrize(
    ("degrade", "column", "low", "high"),
    EXPECTED_RANGES,
    ids=[f"{d.__name__}-{c}" for d, c, _, _ in EXPECTED_RANGES],
)
def test_degradations_change_metrics(degrade: object, column: str, low: float, high: float) -> None:
    """Check the direction and the approximate size of the change."""
    assert callable(degrade)
    for seed in seeds_for(column):
        sound = clip(seed)
        assert low <= metric_value(column, sound, degrade(sound)) <= high


def test_delay_without_alignment_is_an_error() -> None:
    """Metrics measure a delay if the clips are not aligned."""
    sound = clip()
    for column in ("mel_l1", "log_magnitude"):
        assert metric_value(column, sound, delay(sound, 700)) > 0.1


@given(st.integers(1200, 9000), st.integers(0, 2**31))
def test_mel_error_equals_the_reference(length: int, seed: int) -> None:
    """mel_l1 equals that of the slow reference mel, for any length."""
    rng = np.random.default_rng(seed)
    a, b = (0.1 * rng.standard_normal((2, length))).astype(np.float32)
    expected = float(np.abs(log_mel(a) - log_mel(b)).mean())
    assert mel_errors(ChannelPair(a, b))["mel_l1"] == pytest.approx(expected, abs=1e-4)


@given(st.integers(1200, 9000), st.floats(1.0, 12.0), st.integers(0, 2**31))
def test_gain_is_measured_in_decibels(length: int, gain_db: float, seed: int) -> None:
    """high_bias equals the gain in dB, log_magnitude its natural logarithm."""
    rng = np.random.default_rng(seed)
    sound = (0.05 * rng.standard_normal(length)).astype(np.float32)
    pair = ChannelPair(sound, (sound * 10 ** (gain_db / 20)).astype(np.float32))
    assert high_bias(pair)["high_bias"] == pytest.approx(gain_db, abs=0.01)
    log_gain = gain_db / 20 * np.log(10)
    assert log_magnitude(pair)["log_magnitude"] == pytest.approx(log_gain, rel=0.02)


@pytest.mark.parametrize("samples", [1, 300, 1025])
def test_short_clips_have_spectra(samples: int) -> None:
    """Clips shorter than a window are padded."""
    spectrum = magnitudes(np.ones(samples, np.float32), 2048)
    assert torch.isfinite(spectrum).all()
    assert spectrum.shape[0] == 1025


def test_unknown_values_are_none() -> None:
    """A clip without silence or high frequencies has None instead of 0."""
    steady = np.full(SAMPLE_RATE, 0.1, np.float32)
    assert silence_delta(ChannelPair(steady, steady)) == {"silence_delta": None}
    assert high_bias(ChannelPair(clip(), clip(), bandwidth_hz=8000.0)) == {"high_bias": None}
    with_none = [
        ChannelPair(clip(), clip(), bandwidth_hz=8000.0),
        ChannelPair(clip(), amplify(clip())),
    ]
    value = score_channels(with_none, ["high"])["high_bias"]
    assert value == pytest.approx(2.0, abs=0.1), "the mean is over channels with a value"


def test_silence_has_finite_scores_or_none() -> None:
    """Digital silence on either side does not crash a metric."""
    sound, silence = clip(), np.zeros_like(clip())
    for metric in METRICS:
        if metric.name in ("distillmos", "dnsmos") or metric.missing:
            continue
        for pair in (
            ChannelPair(sound, silence),
            ChannelPair(silence, sound),
            ChannelPair(silence, silence),
        ):
            for column, value in metric.compute(pair).items():
                assert value is None or np.isfinite(value), (column, value)


@pytest.mark.parametrize("ripple", [1, 3, 11])
def test_cepstral_distortion_is_in_decibels(ripple: int) -> None:
    """The distance of two envelopes that differ by a ripple is the RMS of the ripple.

    A difference in level is not a distortion.
    """
    pytest.importorskip("pyworld")
    bins_hz = np.arange(513) * SAMPLE_RATE / 1024
    mel, low = (1127 * np.log1p(hz / 700) for hz in (np.maximum(bins_hz, 40), 40))
    share = (mel - low) / (mel[-1] - low)
    flat = np.full((3, 513), 1e-3)
    rippled = flat * 10 ** (2.5 * np.sqrt(2) * np.cos(np.pi * ripple * share) / 10)
    assert envelope_distance_db(flat, 4 * rippled, SAMPLE_RATE) == pytest.approx(
        [2.5] * 3, rel=0.02
    )
