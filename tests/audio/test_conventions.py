"""A mel of another convention is recognised; a true one is never taken for another."""

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
from hifigan_cli.audio.conventions import SCALES, Recognition, measure, recognize
from hifigan_cli.audio.conventions.recognition import full_scale, likely_origins
from hifigan_cli.audio.conventions.scales import LOG_FLOOR, scale_of, to_model
from hifigan_cli.config import MelConfig, preset
from tests.helpers import speech
from tests.tools import mel_doctor

RATE = 22_050


def sounds() -> dict[str, npt.NDArray[np.float64]]:
    """Make sounds at the ends of what a recording can be: `(samples,)`, peak 1 or silence."""
    rng, time_s = np.random.default_rng(5), np.arange(3 * RATE) / RATE
    white = rng.standard_normal(len(time_s))
    white /= np.abs(white).max()
    beats = np.exp(-np.tile(np.arange(RATE // 4), 12) / 4000)
    notes = np.repeat(rng.choice([110.0, 147.0, 196.0, 262.0], 12), RATE // 4)
    melody = 2 * (np.cumsum(notes) / RATE % 1) - 1
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
        "one click": (np.arange(len(time_s)) == RATE) * 1.0,
        "a glide": np.sin(2 * np.pi * np.cumsum(np.linspace(50, 10_000, len(time_s))) / RATE),
        "dither": rng.integers(-1, 2, len(time_s)) / 32_768,
        **{f"speech {seed}": 2.0 * speech(3.0, seed=seed) for seed in range(3)},
    }


SOUNDS = sounds()
TELEPHONE = butter(8, (300, 3400), "band", fs=RATE, output="sos")


@given(
    name=st.sampled_from(sorted(SOUNDS)),
    level_db=st.floats(-90, 0),
    first=st.integers(0, RATE),
    frames=st.integers(3, 160),
    telephone=st.booleans(),
    rate=st.sampled_from(["v1", "v1-16k", "v1-48k"]),
)
def test_a_true_mel_is_never_refused(
    name: str, level_db: float, first: int, frames: int, telephone: bool, rate: str
) -> None:
    """Protects good input: whatever the sound, its level, its length and its band."""
    mel = preset(rate).mel
    samples = SOUNDS[name] * 10 ** (level_db / 20)
    if telephone:
        samples = np.clip(sosfilt(TELEPHONE, samples), -1, 1)
    samples = samples[first : first + max(frames * mel.hop_length, mel.n_fft)]
    values = mel_spectrogram(torch.from_numpy(samples.astype(np.float32))[None], mel)[0].numpy()
    found = recognize(measure(values), full_scale(mel))
    assert found.kind == "ln" or not found.certain, found
    one = recognize(measure(values[:, :1]), full_scale(mel))
    assert one.kind == "ln", one


@pytest.mark.parametrize("rate", ["v1", "v1-16k", "v1-48k"])
def test_full_scale_is_the_bound_of_loud_sound(rate: str) -> None:
    """Protects loud mels: tones and square waves come near the bound, none passes it."""
    mel = preset(rate).mel
    time_s = np.arange(mel.sample_rate // 4) / mel.sample_rate
    highest = -np.inf
    for hz in np.geomspace(20, 2000, 60):
        for wave in (np.sin(2 * np.pi * hz * time_s), np.sign(np.sin(2 * np.pi * hz * time_s))):
            highest = max(highest, float(mel_spectrogram(torch.from_numpy(wave)[None], mel).max()))
    assert full_scale(mel) - 0.5 < highest < full_scale(mel)


@pytest.mark.parametrize("level", [0.0, -4.0, -5.0, -10.0, -11.5, LOG_FLOOR])
def test_a_level_alone_tells_nothing(level: float) -> None:
    """Protects mels of one value, which a text-to-speech model gives for silence."""
    assert recognize(measure(np.full((80, 30), level, np.float32))).kind == "ln"


def shares(found: dict[str, Counter[str]], name: str) -> tuple[float, float, float]:
    """Return the shares of a convention's mels that are recognised, in doubt, and passed as ln."""
    counts, right = found[name], mel_doctor.CONVENTIONS[name][0]
    total = counts.total()
    return counts[right] / total, counts[f"{right}?"] / total, counts["ln"] / total


OURS = ("ln, floor 1e-5 (ours)", "the same, 1 frame", "the same, 20 frames")
CLEAR = ("dB of magnitudes", "dB of power", "dB below the loudest", "magnitudes", "0..1", "-4..4")


def hold(found: dict[str, Counter[str]], least: float) -> None:
    """Hold the table of speech: our own mel passes; of what is plain to see, a share is seen."""
    for name in (*OURS, "the same, half precision", "ln, floor 1e-7"):
        assert shares(found, name)[0] == 1, (name, found[name])
    for name in (*CLEAR, "mean and variance removed", "Whisper's"):
        assert shares(found, name)[0] >= least, (name, found[name])
    for name in ("log10, floor 1e-5", "power", "log2, floor 1e-5"):
        sure, doubt, _ = shares(found, name)
        assert sure + doubt >= least, (name, found[name])
    assert shares(found, "ln of power, floor 1e-10")[0] >= 0.8


def test_the_table_of_the_demo_clip() -> None:
    """Protects recognition where no other recordings are at hand: the clip that comes along."""
    hold(mel_doctor.counts([mel_doctor.DEMO]), 0.3)


def test_the_table_of_real_speech(shared_data: Path) -> None:
    """Protects recognition over speakers and rooms, and good noises from being refused."""
    found = mel_doctor.recordings()
    hold(mel_doctor.counts(found["speech"][::3]), 0.95)
    noises = mel_doctor.counts(found["noises"][::4])
    for name in OURS:
        assert shares(noises, name)[0] == 1, (name, noises[name])


@pytest.mark.parametrize("name", SCALES)
@pytest.mark.parametrize("size", ["v1", "v1-48k"])
def test_every_scale_leads_to_the_natural_log(name: str, size: str) -> None:
    """Protects the conversions: exact but for rounding; of power, 0.15 on the mean."""
    mel = preset(size).mel
    sound = read_audio(mel_doctor.DEMO).samples[0]
    samples = torch.from_numpy(np.asarray(sound[: 5 * RATE], np.float64))[None]
    target = mel_spectrogram(samples, mel)[0].numpy()
    values = on_scale(name, *mel_doctor.bands(samples[0].numpy(), mel))
    converted = to_model(values.astype(np.float32), SCALES[name], mel)
    assert str(converted.dtype) == "float32"
    assert converted.shape == target.shape
    apart = np.abs(converted - target)
    if not SCALES[name].of_power:
        assert apart.max() < 2e-5
    else:
        assert apart[target > LOG_FLOOR + 1].mean() < 0.15


def on_scale(
    name: str, magnitude: npt.NDArray[np.float64], power: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return bands of magnitudes and of power on the scale of a name."""
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
    ("own", "name"),
    [
        ({}, "ln"),
        ({"log": "log10", "floor": 1e-10}, "log10"),
        ({"log": "log10", "gain": 20.0}, "db"),
        ({"power": 2}, "ln-power"),
        ({"power": 2, "log": "log10"}, "log10-power"),
        ({"power": 2, "log": "log10", "gain": 10.0}, "db-power"),
        ({"log": "log10", "gain": 0.2, "offset": 0.5}, None),
        ({"guard": "add"}, None),
    ],
)
def test_mels_reach_models_of_other_tools(own: dict[str, object], name: str | None) -> None:
    """Protects models that read something else: from every scale to theirs, and their own as is."""
    mel = MelConfig.model_validate({"convention": own})
    found = scale_of(mel)
    assert (found.name if found else None) == name
    magnitude, power = mel_doctor.bands(speech(2.0))
    convention = mel.convention
    level = np.log(power if convention.power == 2 else magnitude)
    low = np.log(convention.floor)
    level = np.maximum(level, low) if convention.guard == "clamp" else np.logaddexp(level, low)
    level /= np.log(10) if convention.log == "log10" else 1
    target = convention.gain * level + convention.offset
    for given_as in SCALES:
        converted = to_model(on_scale(given_as, magnitude, power), SCALES[given_as], mel)
        apart = np.abs(converted - target) / (target.max() - target.min())
        exact = SCALES[given_as].of_power == (convention.power == 2)
        assert apart.max() < 1e-6 if exact else apart.mean() < 0.02, given_as


def test_silence_converts_to_the_floor() -> None:
    """Protects against -inf: no magnitude at all is the floor, not a number without bounds."""
    for name in ("magnitude", "power"):
        found = to_model(np.zeros((80, 3)), SCALES[name], MelConfig())
        assert np.all(found == np.float32(LOG_FLOOR))


def test_a_long_mel_is_measured_in_samples_of_it() -> None:
    """Protects long mels: the extremes are of all frames, the rest of runs spread over them."""
    rng = np.random.default_rng(2)
    mel = rng.uniform(-9, 0, (80, 20_000)).astype(np.float32)
    mel[3, 12_345] = -11.0
    mel[4, 19_999] = 1.5
    found = measure(mel)
    assert (found.low, found.high, found.frames) == (-11.0, 1.5, 20_000)
    assert found.movement == pytest.approx(9 / np.sqrt(12), rel=0.05)
    mel[7, 4_100] = np.nan
    assert measure(mel).bad == (7, 4_100)


def test_families_tell_rate_and_hop() -> None:
    """Protects the guess of `hifigan info`: bands, scale and floor name the tools."""
    ours = mel_spectrogram(torch.zeros(1, RATE))[0].numpy()
    ours[:, 20:40] = np.linspace(-6, 0, 20)
    evidence = measure(ours)
    (family,) = likely_origins(80, recognize(evidence), evidence)
    assert (family.sample_rate, family.hop_length) == (RATE, 256)
    assert likely_origins(81, recognize(evidence), evidence) == []
    whisper = likely_origins(128, Recognition("whisper", ""), evidence)
    assert [(family.sample_rate, family.hop_length) for family in whisper] == [(16_000, 160)]
