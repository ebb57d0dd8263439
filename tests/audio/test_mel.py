"""Both implementations of the mel agree with a float64 reference."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchaudio.functional import melscale_fbanks

from hifigan_cli.audio import mel as mel_module
from hifigan_cli.audio.filterbank import filterbank
from hifigan_cli.audio.logmel import log_mel as numpy_log_mel
from hifigan_cli.audio.mel import LOG_FLOOR, MelSpectrogram, mel_spectrogram, reflect_pad
from hifigan_cli.audio.reading import read_audio
from hifigan_cli.config import MelConfig, MelConvention
from hifigan_cli.errors import InputError, UsageError
from hifigan_cli.types import FloatArray
from tests.audio.reference_mel import log_mel
from tests.helpers import speech

# The requirement is 1e-4; double precision reaches one rounding of float32, 5e-7.
TOLERANCE = 2e-6
SAMPLE_RATE = 22_050


def tone(hz: float, level: float = 0.95) -> FloatArray:
    return (level * np.sin(2 * np.pi * hz * np.arange(SAMPLE_RATE) / SAMPLE_RATE)).astype(
        np.float32
    )


def noise(level: float) -> FloatArray:
    return (level * np.random.default_rng(1).standard_normal(SAMPLE_RATE)).astype(np.float32)


def error(samples: FloatArray, config: MelConfig) -> float:
    """Return the largest difference to the reference, in log units."""
    torch_mel = mel_spectrogram(torch.from_numpy(samples)[None], config)[0]
    sizes = (config.sample_rate, config.n_fft, config.hop_length, config.win_length, config.n_mels)
    reference = log_mel(samples, *sizes, config.fmin, config.upper_edge_hz)
    numpy_mel = numpy_log_mel(samples[None], config)[0]
    assert (torch_mel.dtype, numpy_mel.dtype) == (torch.float32, np.float32)
    assert torch_mel.shape == numpy_mel.shape == reference.shape
    assert np.abs(torch_mel.numpy() - numpy_mel).max() <= 1e-6  # one float32 rounding near 11.5
    return max(float(np.abs(mel - reference).max()) for mel in (torch_mel.numpy(), numpy_mel))


@given(
    length=st.integers(2, 40),
    left=st.integers(0, 39),
    right=st.integers(0, 39),
    seed=st.integers(0, 9),
)
def test_reflect_pad_equals_torch(length: int, left: int, right: int, seed: int) -> None:
    """Values and gradients are equal."""
    left, right = min(left, length - 1), min(right, length - 1)
    x = torch.randn(2, 1, length, generator=torch.Generator().manual_seed(seed)).requires_grad_()
    padded = reflect_pad(x, left, right)
    expected = torch.nn.functional.pad(x, (left, right), mode="reflect")
    assert torch.equal(padded, expected)
    weight = torch.arange(padded.numel(), dtype=torch.float32).view(padded.shape)
    gradients = [torch.autograd.grad((y * weight).sum(), x)[0] for y in (padded, expected)]
    torch.testing.assert_close(*gradients)


SYNTHETIC = {
    "speech": speech(1),
    "noise": noise(0.1),
    "faint noise": noise(1e-5),
    "silence": np.zeros(SAMPLE_RATE, np.float32),
    "minimum length": noise(0.1)[:385],
    "tone 100 Hz": tone(100),
    "tone 1 kHz": tone(1000),
    "tone 7777 Hz": tone(7777),
    "tone above the bands": tone(9999),
    "faint tone": tone(440, 1e-4),
    "click": np.eye(1, SAMPLE_RATE, 5000, dtype=np.float32)[0],
    "full-scale square": np.sign(tone(220)),
    "constant": np.full(SAMPLE_RATE, 0.5, np.float32),
}


@pytest.mark.parametrize("band", ["to 8 kHz", "to Nyquist"])
@pytest.mark.parametrize("name", SYNTHETIC)
def test_equals_reference_on_synthetic_signals(name: str, band: str) -> None:
    """The reference checks padding, window, magnitude, bands and log."""
    config = MelConfig() if band == "to 8 kHz" else MelConfig().full_band()
    assert error(SYNTHETIC[name], config) < TOLERANCE


@pytest.mark.parametrize("clip", [0, 11, 37])
def test_equals_reference_on_real_speech(ljspeech_clips: list[Path], clip: int) -> None:
    """In recordings, quiet bands are next to loud ones."""
    samples = read_audio(ljspeech_clips[clip]).samples[0]
    assert error(samples, MelConfig()) < TOLERANCE
    assert error(samples, MelConfig().full_band()) < TOLERANCE


@pytest.mark.parametrize(
    "config",
    [
        MelConfig(sample_rate=16_000, n_fft=512, hop_length=128, win_length=400, n_mels=40),
        MelConfig(sample_rate=48_000, n_fft=2048, hop_length=480, win_length=1200, fmin=55.0),
        MelConfig(n_fft=256, hop_length=64, win_length=256, n_mels=128),  # bands without a bin
        MelConfig(n_fft=1024, hop_length=1024),  # no padding at all
    ],
    ids=["short window", "48 kHz", "many bands", "hop equals window"],
)
def test_equals_reference_with_other_sizes(config: MelConfig) -> None:
    """The presets do not have these sizes."""
    assert error(speech(0.5, seed=3), config) < TOLERANCE


@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize("norm", ["slaney", "none"])
@pytest.mark.parametrize(
    ("sample_rate", "n_fft", "fmax"), [(22_050, 1024, 8e3), (48_000, 2048, None)]
)
def test_filterbank_equals_torchaudio(
    scale: str, norm: str, sample_rate: int, n_fft: int, fmax: float | None
) -> None:
    """In double precision, both filterbanks agree to 1e-12."""
    convention = {"mel_scale": scale, "mel_norm": norm}
    config = MelConfig.model_validate(
        {"sample_rate": sample_rate, "n_fft": n_fft, "fmax": fmax, "convention": convention}
    )
    torch.set_default_dtype(torch.float64)  # torchaudio uses the default type
    try:
        expected = melscale_fbanks(
            *(n_fft // 2 + 1, 0.0, config.upper_edge_hz, 80, sample_rate),
            norm="slaney" if norm == "slaney" else None,
            mel_scale=scale,
        )
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_allclose(filterbank(config), expected.T.numpy(), atol=1e-12)


def test_full_band_mel_includes_10_khz() -> None:
    """The mel of the loss must not end at 8 kHz: it includes a tone at 10 kHz."""
    samples = torch.from_numpy(tone(10_000))[None]
    inner = slice(3, -3)  # without the clicks at the reflected ends
    assert mel_spectrogram(samples)[..., inner].max() < -8
    assert mel_spectrogram(samples, MelConfig().full_band())[..., inner].max() > -2


def test_silence_is_the_floor() -> None:
    """Short mels are padded with this floor."""
    mel = mel_spectrogram(torch.zeros(1, 1000))
    assert abs(LOG_FLOOR + 11.513) < 1e-3
    torch.testing.assert_close(mel, torch.full_like(mel, LOG_FLOOR))


@given(samples=st.integers(1, 3000), halves=st.integers(8, 128), hop=st.integers(1, 256))
def test_number_of_frames(samples: int, halves: int, hop: int) -> None:
    """frames = floor(samples / hop), and too few samples raise an InputError."""
    n_fft = 2 * halves + hop % 2
    if hop > n_fft:
        hop -= 2 * ((hop - n_fft + 1) // 2)
    config = MelConfig(n_fft=n_fft, hop_length=hop, win_length=n_fft, n_mels=4)
    audio = torch.zeros(2, samples)
    if samples <= (n_fft - hop) // 2 or samples < hop:
        with pytest.raises(InputError, match=str(samples)):
            mel_spectrogram(audio, config)
        with pytest.raises(InputError, match=str(samples)):
            numpy_log_mel(audio.numpy(), config)
    else:
        assert mel_spectrogram(audio, config).shape == (2, 4, samples // hop)
        assert numpy_log_mel(audio.numpy(), config).shape == (2, 4, samples // hop)


@pytest.mark.parametrize("level", [0.0, 1e-7, 0.1])
def test_gradients_are_finite_in_silence(level: float) -> None:
    """Without the epsilon, the square root has no gradient at 0."""
    samples = torch.from_numpy(noise(level)).requires_grad_()
    total = mel_spectrogram(samples[None], MelConfig().full_band()).abs().sum()
    (gradient,) = torch.autograd.grad(total, samples)
    assert torch.isfinite(gradient).all()


def test_gradient_equals_finite_difference() -> None:
    """The gradient predicts a small change."""
    samples = torch.from_numpy(speech(0.1)).double().requires_grad_()
    direction = torch.from_numpy(speech(0.1, seed=1)).double()
    (gradient,) = torch.autograd.grad(mel_spectrogram(samples[None]).sum(), samples)
    with torch.no_grad():
        ends = [mel_spectrogram((samples + s * direction)[None]).sum() for s in (1e-7, -1e-7)]
    slope = float(ends[0] - ends[1]) / 2e-7
    assert float(gradient @ direction) == pytest.approx(slope, rel=1e-4)


def test_filterbank_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the official code, the check of the cache never hits."""
    calls = []

    def counting_filterbank(config: MelConfig) -> npt.NDArray[np.float64]:
        calls.append(config)
        return filterbank(config)

    monkeypatch.setattr(mel_module, "filterbank", counting_filterbank)
    config = MelConfig(n_mels=17)
    for _ in range(3):
        mel_spectrogram(torch.zeros(1, 1024), config)
        MelSpectrogram(config)(torch.zeros(1, 1024))
    assert len(calls) == 1


def test_first_call_in_inference_mode_allows_gradients_later() -> None:
    """A process may synthesize first and train later, with the cached window and filterbank."""
    config = MelConfig(n_mels=19)
    with torch.inference_mode():
        mel_spectrogram(torch.zeros(1, 1024), config)
    samples = torch.zeros(1, 1024, requires_grad=True)
    (gradient,) = torch.autograd.grad(mel_spectrogram(samples, config).sum(), samples)
    assert gradient.shape == samples.shape


def test_autocast_does_not_reduce_precision() -> None:
    """In bf16 training, the mel of the loss stays in full precision."""
    samples = torch.from_numpy(speech(0.5))[None]
    with torch.autocast("cpu", torch.bfloat16):
        autocast_mel = mel_spectrogram(samples)
        bf16_mel = mel_spectrogram(samples.bfloat16())
    assert torch.equal(autocast_mel, mel_spectrogram(samples))
    assert bf16_mel.dtype == torch.float32


def test_clips_of_a_batch_are_independent() -> None:
    """The mel of a clip does not depend on the other clips."""
    clips = torch.stack([torch.from_numpy(speech(0.2, seed=seed)) for seed in range(3)])
    batched = mel_spectrogram(clips)
    separate = torch.cat([mel_spectrogram(clip[None]) for clip in clips])
    torch.testing.assert_close(batched, separate, atol=1e-6, rtol=0)


def test_doubling_the_samples_adds_ln_2() -> None:
    """The scale is the natural log of magnitude, not of power and not to base 10."""
    samples = torch.from_numpy(noise(0.1))[None]
    increase = mel_spectrogram(2 * samples) - mel_spectrogram(samples)
    torch.testing.assert_close(increase, torch.full_like(increase, math.log(2)), atol=1e-4, rtol=0)


CONVENTIONS: dict[str, dict[str, Any]] = {
    "centered": {"center": True},
    "centered, zeros": {"center": True, "pad_mode": "constant"},
    "symmetric window": {"periodic_window": False},
    "power of htk": {"power": 2, "mel_scale": "htk", "mel_norm": "none"},
    "log10, added floor": {"log": "log10", "floor_mode": "add", "floor": 1e-10},
    "scaled": {"gain": 2.0, "offset": 1.0, "clip": (-4.0, 4.0)},
}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_conventions_of_other_tools(name: str) -> None:
    """Each field has the same effect as in torch's STFT and a direct implementation."""
    convention = MelConvention.model_validate(CONVENTIONS[name])
    config = MelConfig(convention=convention)
    samples = speech(0.3, seed=2)
    audio = torch.from_numpy(samples).double()
    if not convention.center:
        audio = torch.nn.functional.pad(audio[None], (384, 384), mode="reflect")[0]
    spectrum = torch.stft(
        audio,
        1024,
        256,
        window=torch.hann_window(1024, periodic=convention.periodic_window, dtype=torch.float64),
        center=convention.center,
        pad_mode=convention.pad_mode,
        return_complex=True,
    )
    magnitude = (spectrum.abs() ** 2 + 1e-9).numpy() ** (convention.power / 2)
    bands = filterbank(config) @ magnitude
    add_floor = convention.floor_mode == "add"
    bands = bands + convention.floor if add_floor else np.maximum(bands, convention.floor)
    expected = np.log(bands) if convention.log == "ln" else np.log10(bands)
    expected = convention.gain * expected + convention.offset
    if convention.clip:
        expected = np.clip(expected, *convention.clip)
    mel = numpy_log_mel(samples[None], config)[0]
    assert mel.shape == (80, config.frames(len(samples)))
    np.testing.assert_allclose(mel, expected, atol=2e-6)
    with pytest.raises(UsageError, match="mel convention"):
        MelSpectrogram(config)
