"""Audio effects that degrade clean speech: reverberation, noise, band limits, clipping, codecs.

Every effect maps `(samples,)` to the same length without delay, because the clean target must stay
aligned.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import scipy.fft
import soundfile
import soxr

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hifigan_cli.types import DoubleArray, FloatArray

    Gain = Callable[[DoubleArray], DoubleArray]  # frequencies in Hz -> factors

_PRE_DIRECT = 20  # samples of an RIR before the direct path that are kept
_MAX_RIR_S = 1.3
_EARLY_S = 0.02  # the energy of this part sets the level: the ear hears it as part of the voice
_SYNTHETIC_SHARE = 0.15  # this share of the noises is synthetic
_MU = 255.0  # the companding constant of G.711
_CODEC_RATES = (8_000, 16_000)  # sample rates in Hz


def draw_rir(
    rng: np.random.Generator, rirs: Sequence[FloatArray], sample_rate: int, *, varied: bool
) -> tuple[DoubleArray, int]:
    """Draw a room impulse response; return it and the index of its direct path.

    `varied` changes the room size, the decay and the distance. The response begins just before
    its strongest tap, so that the reverberated speech stays aligned with the dry target.
    """
    rir: DoubleArray = rirs[int(rng.integers(len(rirs)))].astype(np.float64)
    if varied and rng.random() < 0.6:
        rir = soxr.resample(rir, sample_rate, sample_rate * rng.uniform(0.8, 1.3), quality="LQ")
    direct = int(np.argmax(np.abs(rir)))
    rir = rir[max(0, direct - _PRE_DIRECT) :][: int(_MAX_RIR_S * sample_rate)].copy()
    direct = min(direct, _PRE_DIRECT)
    if varied:
        time_s = np.arange(len(rir)) / sample_rate
        rir *= 10 ** (-rng.uniform(-4, 12) * np.maximum(time_s - 0.03, 0))  # decay
        rir[direct + int(0.004 * sample_rate) :] *= 10 ** (rng.uniform(-6, 6) / 20)  # distance
    early = rir[: direct + int(_EARLY_S * sample_rate)]
    return rir / (np.sqrt(np.sum(early**2)) + 1e-9), direct


def reverberate(wave: DoubleArray, rir: DoubleArray, direct: int) -> DoubleArray:
    """Convolve `(samples,)` with a room impulse response, without moving the direct path."""
    size = scipy.fft.next_fast_len(len(wave) + len(rir), real=True)
    product = scipy.fft.rfft(wave, size) * scipy.fft.rfft(rir, size)
    result: DoubleArray = scipy.fft.irfft(product, size)
    return result[direct : direct + len(wave)]


def draw_noise(
    rng: np.random.Generator,
    noises: Sequence[FloatArray],
    samples: int,
    sample_rate: int,
    *,
    varied: bool,
) -> DoubleArray:
    """Draw noise `(samples,)` with an RMS of 1.

    `varied` allows synthetic noise, and recorded noise that is resampled and equalized.
    """
    if varied and rng.random() < _SYNTHETIC_SHARE:
        noise = _colored_noise(rng, samples, sample_rate)
    else:
        noise = _recorded_noise(rng, noises, samples, sample_rate, varied=varied)
    normalized: DoubleArray = noise / (np.sqrt(np.mean(noise**2)) + 1e-9)
    return normalized


def mix(speech: DoubleArray, noise: DoubleArray, snr_db: float) -> DoubleArray:
    """Add noise at a signal-to-noise ratio, measured where the speech is active."""
    active = np.abs(speech) > 0.05 * np.abs(speech).max()
    speech_rms = np.sqrt(np.mean(speech[active] ** 2)) if active.any() else 1e-3
    noise_rms = np.sqrt(np.mean(noise**2)) + 1e-9
    result: DoubleArray = speech + noise * (speech_rms / noise_rms * 10 ** (-snr_db / 20))
    return result


def band_limit(rng: np.random.Generator, wave: DoubleArray, sample_rate: int) -> DoubleArray:
    """Low-pass or equalize; sometimes also attenuate low frequencies."""
    if rng.random() < 0.7:
        wave = apply_gain(wave, sample_rate, low_pass(rng.uniform(3_400, 8_000)))
    else:
        wave = apply_gain(wave, sample_rate, _random_equalizer(rng, sample_rate, 2.5))
    if rng.random() < 0.25:
        cutoff_hz = rng.uniform(80, 300)
        wave = apply_gain(wave, sample_rate, lambda f: np.clip(f / cutoff_hz, 1e-3, 1.0))
    return wave


def clip(rng: np.random.Generator, wave: DoubleArray) -> DoubleArray:
    """Clip the peaks, as an overdriven input does."""
    limit = rng.uniform(0.2, 0.7) * np.abs(wave).max()
    return np.clip(wave, -limit, limit)


def apply_codec(rng: np.random.Generator, wave: DoubleArray, sample_rate: int) -> DoubleArray:
    """Encode and decode `(samples,)` with G.711 (telephone) or with MP3 at a low bit rate."""
    if rng.random() < 0.5:
        return _g711(wave, sample_rate, _CODEC_RATES[rng.integers(len(_CODEC_RATES))])
    return _mp3(wave, sample_rate, rng.uniform(0.75, 1.0))


def apply_gain(wave: DoubleArray, sample_rate: int, gain: Gain) -> DoubleArray:
    """Filter `(samples,)` in the frequency domain; `gain` maps frequencies in Hz to factors."""
    size = scipy.fft.next_fast_len(len(wave), real=True)
    spectrum = scipy.fft.rfft(wave, size)
    frequencies = np.fft.rfftfreq(size, 1 / sample_rate).astype(np.float64)
    result: DoubleArray = scipy.fft.irfft(spectrum * gain(frequencies), size)[: len(wave)]
    return result


def low_pass(cutoff_hz: float) -> Gain:
    """Return the gain function of a steep low-pass filter, like that of a codec or a telephone."""
    return lambda f: np.clip((cutoff_hz * 1.04 - f) / (cutoff_hz * 0.04), 1e-4, 1.0)


def _random_equalizer(rng: np.random.Generator, sample_rate: int, deviation_db: float) -> Gain:
    """Draw a smooth frequency response from gains in dB at seven points."""
    points = np.concatenate([[0.0], np.geomspace(80.0, sample_rate / 2, 6)])
    gains_db = rng.normal(0.0, deviation_db, len(points))
    return lambda frequencies: 10 ** (np.interp(frequencies, points, gains_db) / 20)


def _colored_noise(rng: np.random.Generator, samples: int, sample_rate: int) -> DoubleArray:
    """Generate noise between white and brown; its level may change slowly."""
    bins = samples // 2 + 1
    spectrum = rng.normal(size=bins) + 1j * rng.normal(size=bins)
    spectrum *= np.maximum(np.fft.rfftfreq(samples, 1 / sample_rate), 20.0) ** -rng.uniform(0, 1)
    noise: DoubleArray = scipy.fft.irfft(spectrum, samples)
    if rng.random() < 0.4:
        points = np.linspace(0, samples, 8)
        noise = noise * np.interp(np.arange(samples), points, rng.uniform(0.3, 1.0, 8))
    return noise


def _recorded_noise(
    rng: np.random.Generator,
    noises: Sequence[FloatArray],
    samples: int,
    sample_rate: int,
    *,
    varied: bool,
) -> DoubleArray:
    """Return a segment of a recording, repeating a recording that is too short."""
    recording = noises[int(rng.integers(len(noises)))]
    speed = rng.uniform(0.75, 1.35) if varied and rng.random() < 0.7 else 1.0
    needed = int(samples * speed) + 256
    if len(recording) < needed:
        recording = np.tile(recording, -(-needed // len(recording)))
    start = rng.integers(len(recording) - needed + 1)
    noise: DoubleArray = recording[start : start + needed].astype(np.float64)
    if speed != 1.0:
        noise = soxr.resample(noise, sample_rate * speed, sample_rate, quality="LQ")
    noise = noise[:samples]
    if varied and rng.random() < 0.7:
        noise = apply_gain(noise, sample_rate, _random_equalizer(rng, sample_rate, 5.0))
    return noise


def _g711(wave: DoubleArray, sample_rate: int, codec_rate: int) -> DoubleArray:
    peak = np.abs(wave).max() + 1e-9
    narrow = np.clip(soxr.resample(wave / peak, sample_rate, codec_rate, quality="HQ"), -1, 1)
    compressed = np.sign(narrow) * np.log1p(_MU * np.abs(narrow)) / np.log1p(_MU)
    quantized = np.round(compressed * 127) / 127
    expanded = np.sign(quantized) * np.expm1(np.abs(quantized) * np.log1p(_MU)) / _MU
    decoded = soxr.resample(expanded, codec_rate, sample_rate, quality="HQ") * peak
    return _pad_to(decoded, len(wave))[: len(wave)]


def _mp3(wave: DoubleArray, sample_rate: int, compression: float) -> DoubleArray:
    """Encode and decode; find the codec's delay by correlation and remove it."""
    peak = np.abs(wave).max() + 1e-9
    file = io.BytesIO()
    scaled = wave / peak * 0.9
    soundfile.write(file, scaled, sample_rate, format="MP3", compression_level=compression)
    file.seek(0)
    decoded = _pad_to(soundfile.read(file, dtype="float64")[0] * peak / 0.9, len(wave))
    size = 1 << (len(decoded) + len(wave)).bit_length()
    spectra = np.fft.rfft(decoded, size) * np.conj(np.fft.rfft(wave, size))
    delay = int(np.argmax(np.fft.irfft(spectra, size)[:4096]))
    return np.pad(decoded[delay:], (0, delay))[: len(wave)]


def _pad_to(wave: DoubleArray, samples: int) -> DoubleArray:
    return np.pad(wave, (0, max(0, samples - len(wave))))
