"""A recording read in blocks is the recording read whole: samples, notes, levels and mel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from hifigan_cli.audio import decoding
from hifigan_cli.audio.levels import clipped_in_blocks, clipped_samples, level_notes
from hifigan_cli.audio.logmel import log_mel, log_mel_stream
from hifigan_cli.audio.reading import read_audio
from hifigan_cli.audio.recording import Recording, open_recording
from hifigan_cli.audio.resampling import resample, resample_blocks, resampled_length
from hifigan_cli.config import MelConfig, MelConvention
from hifigan_cli.errors import InputError, NotFiniteError

RNG = np.random.default_rng(0)


def stored(path: Path, samples: np.ndarray, sample_rate: int = 16_000) -> Path:
    soundfile.write(path, samples.T, sample_rate, "FLOAT")
    return path


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode in blocks of a few hundred samples, so that short files have many."""
    monkeypatch.setattr(decoding, "_BLOCK_SAMPLES", 300)


def reread(path: Path, repair: bool = False) -> Recording:
    """Open a recording of which nothing is kept in memory."""
    return open_recording(path, repair=repair, held_samples=0)


@pytest.mark.parametrize("channels", [1, 2, 3, 7])
@pytest.mark.parametrize("length", [1, 299, 300, 1001])
def test_blocks_are_the_whole(tmp_path: Path, channels: int, length: int) -> None:
    """Any length, any channels, mixed or not, as often as it is read; kept or decoded again."""
    samples = RNG.uniform(-0.9, 0.9, (channels, length)).astype(np.float32)
    path = stored(tmp_path / "a.wav", samples)
    for found in (reread(path), open_recording(path)):
        assert (found.channels, found.length, found.sample_rate) == (channels, length, 16_000)
        for _ in range(2):
            np.testing.assert_array_equal(np.concatenate(list(found.blocks()), axis=1), samples)
        mixed = np.concatenate(list(found.mono().blocks()), axis=1)
        np.testing.assert_array_equal(mixed, read_audio(path).mono().samples)
        assert found.mono().channels == 1


def test_what_is_no_number_is_found_wherever_it_is(tmp_path: Path) -> None:
    """The first of the first channel that has one is named, as in a whole; --repair mends it."""
    samples = RNG.uniform(-3, 3, (2, 1000)).astype(np.float32)
    samples[1, 7] = np.nan
    samples[0, [800, 900]] = np.inf, -np.inf
    path = stored(tmp_path / "a.wav", samples)
    with pytest.raises(NotFiniteError, match=r"3 samples .*first at sample 800 of channel 0"):
        reread(path)
    found = reread(path, repair=True)
    mended = np.where(np.isfinite(samples), samples, 0)
    expected = mended / np.abs(mended).max()
    np.testing.assert_array_equal(np.concatenate(list(found.blocks()), axis=1), expected)
    assert [text for note in found.notes for text in ("replaced", "scaled") if text in note] == [
        "replaced",
        "scaled",
    ]


def test_a_file_that_changes_meanwhile(tmp_path: Path) -> None:
    """What was looked through is what is read, or it is an error: never silently cut."""
    path = stored(tmp_path / "a.wav", np.zeros((1, 1000), np.float32))
    found = reread(path)
    stored(path, np.zeros((1, 900), np.float32))
    with pytest.raises(InputError, match="changed while it was read"):
        list(found.blocks())


@given(cuts=st.lists(st.integers(0, 60), max_size=6), seed=st.integers(0, 1000))
def test_plateaus_across_blocks(cuts: list[int], seed: int) -> None:
    """A clipped stretch counts the same wherever the blocks are cut."""
    random = np.random.default_rng(seed)
    samples = np.clip(random.normal(0, 2, (2, 60)), -1, 1).astype(np.float32)
    blocks = np.split(samples, sorted(cuts), axis=1)
    assert clipped_in_blocks(blocks, 1.0) == clipped_samples(samples)


def test_levels_are_told_of_what_is_never_whole(tmp_path: Path) -> None:
    """Offset, silence and clipping are seen over all blocks."""
    loud = np.clip(RNG.normal(0.2, 1, (1, 5000)), -1, 1).astype(np.float32)
    offset, clipped = level_notes(reread(stored(tmp_path / "a.wav", loud)))
    assert "offset" in offset
    assert "clipped" in clipped
    quiet = np.full((2, 900), 1e-4, np.float32)
    (silent,) = level_notes(reread(stored(tmp_path / "b.wav", quiet)))
    assert "silent" in silent


CONFIGS = {
    "paper": MelConfig(),
    "centred": MelConfig(convention=MelConvention(center=True)),
    "constant": MelConfig(convention=MelConvention(pad_mode="constant")),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("length", [400, 769, 5000, 256 * 40, 256 * 40 + 255])
@pytest.mark.parametrize("block", [7, 255, 4096, 100_000])
def test_the_mel_of_a_stream(config: MelConfig, length: int, block: int) -> None:
    """Frames as they come are those of the whole, both reflected ends included."""
    samples = RNG.uniform(-1, 1, (2, length)).astype(np.float32)
    blocks = [samples[:, start : start + block] for start in range(0, length, block)]
    if config.convention.pad_mode == "reflect" and length <= config.pad_samples:
        with pytest.raises(InputError, match="too short"):
            list(log_mel_stream(blocks, length, config))
        return
    made = np.concatenate(list(log_mel_stream(blocks, length, config, 16)), axis=-1)
    np.testing.assert_allclose(made, log_mel(samples, config), atol=1e-6)


@pytest.mark.parametrize(
    ("from_hz", "to_hz"), [(44_100, 22_050), (16_000, 22_050), (44_056, 22_050)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_resampling_in_blocks(from_hz: int, to_hz: int, channels: int) -> None:
    """A stream gives the samples of the whole within rounding, whatever the blocks."""
    samples = RNG.uniform(-1, 1, (channels, 30_001)).astype(np.float32)
    blocks = np.split(samples, [1, 2, 7000, 7001, 29_000], axis=1)
    made = np.concatenate(list(resample_blocks(blocks, from_hz, to_hz, channels)), axis=1)
    whole = resample(samples, from_hz, to_hz)
    assert abs(made.shape[1] - resampled_length(30_001, from_hz, to_hz)) <= 1
    shared = min(made.shape[1], whole.shape[1]) - 1  # soxr rounds the length, we round it up
    np.testing.assert_allclose(made[:, :shared], whole[:, :shared], atol=1e-6)
