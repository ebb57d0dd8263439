"""Mels of other conventions are detected, and the expected one is never rejected."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import butter, sosfilt

from hifigan_cli.audio import mel_spectrogram, read_audio
from hifigan_cli.audio.conventions import SCALES, DetectedScale, detect_scale, measure_mel
from hifigan_cli.audio.conventions.detection import likely_origins, max_log_mel
from hifigan_cli.audio.conventions.scales import LOG_FLOOR, find_scale, to_model
from hifigan_cli.config import MelConfig, preset
from tests.helpers import speech
from tests.tools import mel_detection

SAMPLE_RATE = 22_050


def extreme_signals() -> dict[str, npt.NDArray[np.float64]]:
    """Generate extreme signals `(samples,)`, with peak 1 or silent."""
    rng, time_s = np.random.default_rng(5), np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    white = rng.standard_normal(len(time_s))
    white /= np.abs(white).max()
    beats = np.exp(-np.tile(np.arange(SAMPLE_RATE // 4), 12) / 4000)
    notes = np.repeat(rng.choice([110.0, 147.0, 196.0, 262.0], 12), SAMPLE_RATE // 4)
    melody = 2 * (np.cumsum(notes) / SAMPLE_RATE % 1) - 1
    beats = np.resize(beats, len(time_s))
    melody = np.resize(melody, len(time_s))
    return {
        "silence": 0 * time_s,
        "white noise": white,
        "clipped noise": np.clip(5 * white, -1, 1),
        "noise in bursts": white * np.sin(2 * np.pi * 4 * time_s) ** 2,
        "brown noise": np.cumsum(white - white.mean()) / np.abs(np.cumsum(white)).max(),
        "a tone": np.sin(2 * np.pi * 440 * time_s),
        "a square wave": np.sign(np.sin(2 * np.pi * 200 * time_s)),
        "a sawtooth": 2 * (150 * time_s % 1) - 1,
        "a melody": melody * beats,
        "a melody in noise": 0.8 * melody * beats + 0.2 * white,
        "clicks": (np.arange(len(time_s)) % 200 == 0) * 1.0,
        "one click": (np.arange(len(time_s)) == SAMPLE_RATE) * 1.0,
        "a glide": np.sin(
            2 * np.pi * np.cumsum(np.linspace(50, 10_000, len(time_s))) / SAMPLE_RATE
        ),
        "dither": rng.integers(-1, 2, len(time_s)) / 32_768,
        **{f"speech {seed}": 2.0 * speech(3.0, seed=seed) for seed in range(3)},
    }


SIGNALS = extreme_signals()
TELEPHONE = butter(8, (300, 3400), "band", fs=SAMPLE_RATE, output="sos")


@given(
    name=st.sampled_from(sorted(SIGNALS)),
    level_db=st.floats(-90, 0),
    first=st.integers(0, SAMPLE_RATE),
    frames=st.integers(3, 160),
    telephone=st.booleans(),
    preset_name=st.sampled_from(["v1", "v1-16k", "v1-48k"]),
)
def test_expected_convention_is_never_rejected(
    name: str, level_db: float, first: int, frames: int, telephone: bool, preset_name: str
) -> None:
    """The result does not depend on the sound, its level, its length or its band."""
    mel = preset(preset_name).mel
    samples = SIGNALS[name] * 10 ** (level_db / 20)
    if telephone:
        samples = np.clip(sosfilt(TELEPHONE, samples), -1, 1)
    samples = samples[first : first + max(frames * mel.hop_length, mel.n_fft)]
    values = mel_spectrogram(torch.from_numpy(samples.astype(np.float32))[None], mel)[0].numpy()
    detected = detect_scale(measure_mel(values), max_log_mel(mel))
    assert detected.kind == "ln" or not detected.certain, detected
    one_frame = detect_scale(measure_mel(values[:, :1]), max_log_mel(mel))
    assert one_frame.kind == "ln", one_frame


@pytest.mark.parametrize("preset_name", ["v1", "v1-16k", "v1-48k"])
def test_max_log_mel_bounds_loud_sound(preset_name: str) -> None:
    """Tones and square waves come within 0.5 of the bound, and do not exceed it."""
    mel = preset(preset_name).mel
    time_s = np.arange(mel.sample_rate // 4) / mel.sample_rate
    highest = -np.inf
    for hz in np.geomspace(20, 2000, 60):
        for wave in (np.sin(2 * np.pi * hz * time_s), np.sign(np.sin(2 * np.pi * hz * time_s))):
            highest = max(highest, float(mel_spectrogram(torch.from_numpy(wave)[None], mel).max()))
    assert max_log_mel(mel) - 0.5 < highest < max_log_mel(mel)


@pytest.mark.parametrize("level", [0.0, -4.0, -5.0, -10.0, -11.5, LOG_FLOOR])
def test_constant_mel_is_ln(level: float) -> None:
    """A text-to-speech model may predict a constant mel for silence."""
    assert detect_scale(measure_mel(np.full((80, 30), level, np.float32))).kind == "ln"


def shares(detected: dict[str, Counter[str]], name: str) -> tuple[float, float, float]:
    """Return the shares of a convention's mels detected with certainty, without, and as ln."""
    counts, expected = detected[name], mel_detection.CONVENTIONS[name][0]
    total = counts.total()
    return counts[expected] / total, counts[f"{expected}?"] / total, counts["ln"] / total


EXPECTED = ("ln, floor 1e-5 (HiFi-GAN)", "the same, 1 frame", "the same, 20 frames")
CLEAR_CASES = (
    "dB of magnitudes",
    "dB of power",
    "dB below the loudest",
    "magnitudes",
    "0..1",
    "-4..4",
)


def check_table(detected: dict[str, Counter[str]], min_share: float) -> None:
    """Check that the presets' mel always passes, and that most clear cases are detected."""
    for name in (*EXPECTED, "the same, half precision", "ln, floor 1e-7"):
        assert shares(detected, name)[0] == 1, (name, detected[name])
    for name in (*CLEAR_CASES, "mean and variance removed", "Whisper's"):
        assert shares(detected, name)[0] >= min_share, (name, detected[name])
    for name in ("log10, floor 1e-5", "power", "log2, floor 1e-5"):
        certain, uncertain, _ = shares(detected, name)
        assert certain + uncertain >= min_share, (name, detected[name])
    assert shares(detected, "ln of power, floor 1e-10")[0] >= 0.8


def test_detection_on_the_bundled_recording() -> None:
    """This test needs no other data."""
    check_table(mel_detection.counts([mel_detection.DEMO]), 0.3)


def test_detection_on_real_recordings(shared_data: Path) -> None:
    """Detection works for many speakers and acoustics, and the mels of noises are not rejected."""
    recordings = mel_detection.recordings()
    check_table(mel_detection.counts(recordings["speech"][::3]), 0.95)
    noises = mel_detection.counts(recordings["noises"][::4])
    for name in EXPECTED:
        assert shares(noises, name)[0] == 1, (name, noises[name])


@pytest.mark.parametrize("name", SCALES)
@pytest.mark.parametrize("size", ["v1", "v1-48k"])
def test_conversion_to_the_model(name: str, size: str) -> None:
    """Conversions are exact except for rounding; those of power are within 0.15 on average."""
    mel = preset(size).mel
    recording = read_audio(mel_detection.DEMO).samples[0]
    samples = torch.from_numpy(np.asarray(recording[: 5 * SAMPLE_RATE], np.float64))[None]
    target = mel_spectrogram(samples, mel)[0].numpy()
    values = on_scale(name, *mel_detection.bands(samples[0].numpy(), mel))
    converted = to_model(values.astype(np.float32), SCALES[name], mel)
    assert str(converted.dtype) == "float32"
    assert converted.shape == target.shape
    error = np.abs(converted - target)
    if not SCALES[name].is_power:
        assert error.max() < 2e-5
    else:
        assert error[target > LOG_FLOOR + 1].mean() < 0.15


def on_scale(
    name: str, magnitude: npt.NDArray[np.float64], power: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Convert bands of magnitudes or of power to a named scale."""
    values = power if name.endswith("power") else magnitude
    factor = 10 if name == "db-power" else 20
    return {
        "ln": np.log(values),
        "log10": np.log10(values),
        "log2": np.log2(values),
        "db": factor * np.log10(values),
        "magnitude": values,
        "power": values,
    }[name.removesuffix("-power")]


@pytest.mark.parametrize(
    ("convention_fields", "name"),
    [
        ({}, "ln"),
        ({"log": "log10", "floor": 1e-10}, "log10"),
        ({"log": "log10", "gain": 20.0}, "db"),
        ({"power": 2}, "ln-power"),
        ({"power": 2, "log": "log10"}, "log10-power"),
        ({"power": 2, "log": "log10", "gain": 10.0}, "db-power"),
        ({"log": "log10", "gain": 0.2, "offset": 0.5}, None),
        ({"floor_mode": "add"}, None),
    ],
)
def test_conversion_to_models_of_other_tools(
    convention_fields: dict[str, object], name: str | None
) -> None:
    """Every scale can be converted to the convention of another tool's model."""
    mel = MelConfig.model_validate({"convention": convention_fields})
    model_scale = find_scale(mel)
    assert (model_scale.name if model_scale else None) == name
    magnitude, power = mel_detection.bands(speech(2.0))
    convention = mel.convention
    level = np.log(power if convention.power == 2 else magnitude)
    floor = np.log(convention.floor)
    level = (
        np.maximum(level, floor) if convention.floor_mode == "clamp" else np.logaddexp(level, floor)
    )
    level /= np.log(10) if convention.log == "log10" else 1
    target = convention.gain * level + convention.offset
    for scale in SCALES:
        converted = to_model(on_scale(scale, magnitude, power), SCALES[scale], mel)
        error = np.abs(converted - target) / (target.max() - target.min())
        exact = SCALES[scale].is_power == (convention.power == 2)
        assert error.max() < 1e-6 if exact else error.mean() < 0.02, scale


def test_silence_converts_to_the_floor() -> None:
    """A magnitude of 0 becomes the floor, not -inf."""
    for name in ("magnitude", "power"):
        converted = to_model(np.zeros((80, 3)), SCALES[name], MelConfig())
        assert np.all(converted == np.float32(LOG_FLOOR))


def test_statistics_of_a_long_mel() -> None:
    """The extremes cover all frames, the other statistics cover runs spread over the mel."""
    rng = np.random.default_rng(2)
    mel = rng.uniform(-9, 0, (80, 20_000)).astype(np.float32)
    mel[3, 12_345] = -11.0
    mel[4, 19_999] = 1.5
    statistics = measure_mel(mel)
    assert (statistics.low, statistics.high, statistics.frames) == (-11.0, 1.5, 20_000)
    assert statistics.temporal_std == pytest.approx(9 / np.sqrt(12), rel=0.05)
    mel[7, 4_100] = np.nan
    assert measure_mel(mel).first_nonfinite == (7, 4_100)


def test_likely_origins() -> None:
    """`hifigan info` derives the tools from the bands, scale and floor."""
    mel = mel_spectrogram(torch.zeros(1, SAMPLE_RATE))[0].numpy()
    mel[:, 20:40] = np.linspace(-6, 0, 20)
    statistics = measure_mel(mel)
    (origin,) = likely_origins(80, detect_scale(statistics), statistics)
    assert (origin.sample_rate, origin.hop_length) == (SAMPLE_RATE, 256)
    assert likely_origins(81, detect_scale(statistics), statistics) == []
    whisper = likely_origins(128, DetectedScale("whisper", ""), statistics)
    assert [(origin.sample_rate, origin.hop_length) for origin in whisper] == [(16_000, 160)]
