"""A recording read in blocks equals one read at once: samples, notes, levels and mel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from hifigan_cli.audio import decoding
from hifigan_cli.audio.levels import count_clipped, count_clipped_in_blocks, level_notes
from hifigan_cli.audio.logmel import log_mel, log_mel_stream
from hifigan_cli.audio.reading import read_audio
from hifigan_cli.audio.recording import Recording, open_recording
from hifigan_cli.audio.resampling import resample, resample_blocks, resampled_length
from hifigan_cli.config import MelConfig, MelConvention
from hifigan_cli.errors import InputError, NotFiniteError

RNG = np.random.default_rng(0)


def write_wav(path: Path, samples: np.ndarray, sample_rate: int = 16_000) -> Path:
    soundfile.write(path, samples.T, sample_rate, "FLOAT")
    return path


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode in blocks of 300 samples over all channels, so that short files have many blocks."""
    monkeypatch.setattr(decoding, "_BLOCK_SAMPLES", 300)


def open_uncached(path: Path, repair: bool = False) -> Recording:
    """Open a recording without keeping its samples in memory."""
    return open_recording(path, repair=repair, max_cached_samples=0)


@pytest.mark.parametrize("channels", [1, 2, 3, 7])
@pytest.mark.parametrize("length", [1, 299, 300, 1001])
def test_blocks_contain_all_samples(tmp_path: Path, channels: int, length: int) -> None:
    """All samples are in the blocks: downmixed or not, repeatedly, with or without a cache."""
    samples = RNG.uniform(-0.9, 0.9, (channels, length)).astype(np.float32)
    path = write_wav(tmp_path / "a.wav", samples)
    for recording in (open_uncached(path), open_recording(path)):
        assert (recording.channels, recording.length, recording.sample_rate) == (
            channels,
            length,
            16_000,
        )
        for _ in range(2):
            np.testing.assert_array_equal(np.concatenate(list(recording.blocks()), axis=1), samples)
        mixed = np.concatenate(list(recording.mono().blocks()), axis=1)
        np.testing.assert_array_equal(mixed, read_audio(path).mono().samples)
        assert recording.mono().channels == 1


def test_nonfinite_samples_are_found_in_all_blocks(tmp_path: Path) -> None:
    """The error names the first one of the first affected channel; --repair replaces them."""
    samples = RNG.uniform(-3, 3, (2, 1000)).astype(np.float32)
    samples[1, 7] = np.nan
    samples[0, [800, 900]] = np.inf, -np.inf
    path = write_wav(tmp_path / "a.wav", samples)
    with pytest.raises(NotFiniteError, match=r"3 NaN.* sample 800 of channel 0"):
        open_uncached(path)
    recording = open_uncached(path, repair=True)
    finite = np.where(np.isfinite(samples), samples, 0)
    expected = finite / np.abs(finite).max()
    np.testing.assert_array_equal(np.concatenate(list(recording.blocks()), axis=1), expected)
    nonfinite, level = recording.notes
    assert "3 NaN" in nonfinite
    assert "times full scale" in level


def test_file_that_changes_while_read_is_rejected(tmp_path: Path) -> None:
    """A file that became shorter after the scan is an error."""
    path = write_wav(tmp_path / "a.wav", np.zeros((1, 1000), np.float32))
    recording = open_uncached(path)
    write_wav(path, np.zeros((1, 900), np.float32))
    with pytest.raises(InputError, match=r"a\.wav"):
        list(recording.blocks())


@given(cuts=st.lists(st.integers(0, 60), max_size=6), seed=st.integers(0, 1000))
def test_clipping_across_blocks(cuts: list[int], seed: int) -> None:
    """The count does not depend on the borders of blocks."""
    random = np.random.default_rng(seed)
    samples = np.clip(random.normal(0, 2, (2, 60)), -1, 1).astype(np.float32)
    blocks = np.split(samples, sorted(cuts), axis=1)
    assert count_clipped_in_blocks(blocks, 1.0) == count_clipped(samples)


def test_level_notes_of_blocks(tmp_path: Path) -> None:
    """Offset, silence and clipping are detected over all blocks."""
    loud = np.clip(RNG.normal(0.2, 1, (1, 5000)), -1, 1).astype(np.float32)
    offset, clipped = level_notes(open_uncached(write_wav(tmp_path / "a.wav", loud)))
    assert "offset" in offset
    assert "clipped" in clipped
    quiet = np.full((2, 900), 1e-4, np.float32)
    (silent,) = level_notes(open_uncached(write_wav(tmp_path / "b.wav", quiet)))
    assert "silent" in silent


CONFIGS = {
    "paper": MelConfig(),
    "centered": MelConfig(convention=MelConvention(center=True)),
    "constant": MelConfig(convention=MelConvention(pad_mode="constant")),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("length", [400, 769, 5000, 256 * 40, 256 * 40 + 255])
@pytest.mark.parametrize("block", [7, 255, 4096, 100_000])
def test_mel_of_a_stream(config: MelConfig, length: int, block: int) -> None:
    """The frames equal those of the complete recording, including both reflected ends."""
    samples = RNG.uniform(-1, 1, (2, length)).astype(np.float32)
    blocks = [samples[:, start : start + block] for start in range(0, length, block)]
    if config.convention.pad_mode == "reflect" and length <= config.padding_samples:
        with pytest.raises(InputError, match=str(length)):
            list(log_mel_stream(blocks, length, config))
        return
    mel = np.concatenate(list(log_mel_stream(blocks, length, config, 16)), axis=-1)
    np.testing.assert_allclose(mel, log_mel(samples, config), atol=1e-6)


@pytest.mark.parametrize(
    ("orig_sr", "target_sr"), [(44_100, 22_050), (16_000, 22_050), (44_056, 22_050)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_resampling_in_blocks(orig_sr: int, target_sr: int, channels: int) -> None:
    """The samples equal those of `resample` within rounding, for any blocks."""
    samples = RNG.uniform(-1, 1, (channels, 30_001)).astype(np.float32)
    blocks = np.split(samples, [1, 2, 7000, 7001, 29_000], axis=1)
    streamed = np.concatenate(list(resample_blocks(blocks, orig_sr, target_sr, channels)), axis=1)
    expected = resample(samples, orig_sr, target_sr)
    assert abs(streamed.shape[1] - resampled_length(30_001, orig_sr, target_sr)) <= 1
    common = (
        min(streamed.shape[1], expected.shape[1]) - 1
    )  # soxr rounds the length, resampled_length rounds up
    np.testing.assert_allclose(streamed[:, :common], expected[:, :common], atol=1e-6)
