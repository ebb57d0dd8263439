"""A vocoder keeps lengths, rates and channels, and its block forms equal its whole forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hifigan_cli.audio import Audio, mel_spectrogram
from hifigan_cli.errors import InputError
from hifigan_cli.synthesis import Vocoder
from tests.helpers import speech
from tests.models_for_tests import tiny_model

VOCODER = Vocoder(tiny_model(), "cpu", chunk_frames=20)


def recording(length: int, sample_rate: int = 22_050, channels: int = 1, seed: int = 0) -> Audio:
    """Make a recording of exactly `length` samples a channel."""
    sounds = [
        speech(length / sample_rate + 0.01, sample_rate, seed + c)[:length] for c in range(channels)
    ]
    return Audio(np.stack(sounds), sample_rate)


@given(length=st.integers(1, 30_000), channels=st.integers(1, 3))
def test_length_and_channels_are_kept(length: int, channels: int) -> None:
    """At the model's rate, samples in are samples out, from a single one on."""
    made = VOCODER.resynthesize(recording(length, channels=channels))
    assert made.samples.shape == (channels, length)
    assert np.isfinite(made.samples).all()


@given(
    length=st.integers(1, 30_000),
    sample_rate=st.sampled_from([8_000, 16_000, 22_051, 44_056, 44_100, 48_000, 192_000]),
)
def test_rates(length: int, sample_rate: int) -> None:
    """With the input's rate, its number of samples; with the model's, the same time."""
    audio = recording(length, sample_rate)
    kept = VOCODER.resynthesize(audio, keep_sample_rate=True)
    assert (kept.sample_rate, kept.samples.shape[1]) == (sample_rate, length)
    made = VOCODER.resynthesize(audio)
    assert made.sample_rate == 22_050
    assert abs(made.length_s - audio.length_s) < 1 / 22_050


def test_channels_do_not_mix() -> None:
    """Each channel's result is what that channel alone gives."""
    audio = recording(20_000, channels=2)
    both = VOCODER.resynthesize(audio).samples
    for channel in range(2):
        alone = VOCODER.resynthesize(Audio(audio.samples[channel : channel + 1], 22_050)).samples
        np.testing.assert_allclose(both[channel], alone[0], atol=1e-6)
    assert np.abs(both[0] - both[1]).max() > 1e-3


def test_resynthesis_is_mel_then_vocode() -> None:
    """`resynth` is `mel` followed by `vocode`, on whole frames."""
    audio = recording(256 * 90)
    mel = mel_spectrogram(torch.from_numpy(audio.samples))
    made = VOCODER.resynthesize(audio).samples
    np.testing.assert_allclose(made, VOCODER.vocode(mel).samples, atol=1e-6)
    np.testing.assert_allclose(VOCODER.mel(audio), mel.numpy(), atol=1e-6)


@pytest.mark.parametrize("shape", [(79, 10), (2, 3, 80), (80,), (1, 1, 80, 10)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    """An array that is no mel is an input error, not a crash in a convolution."""
    with pytest.raises(InputError, match="not \\(mels, frames\\)"):
        VOCODER.vocode(np.zeros(shape, np.float32))


def test_tensors_are_taken_too() -> None:
    """Tensors with gradients, or of half precision, are arrays like others; streams take both."""
    mel = torch.randn(80, 12, requires_grad=True)
    expected = VOCODER.vocode(mel.detach().numpy()).samples
    assert np.array_equal(VOCODER.vocode(mel).samples, expected)
    halved = VOCODER.vocode(mel.bfloat16()).samples
    assert np.array_equal(halved, VOCODER.vocode(mel.detach().bfloat16().float().numpy()).samples)
    stream = VOCODER.stream()
    made = np.concatenate([stream.push(mel), stream.finish()[0]])
    np.testing.assert_allclose(made, expected[0], atol=1e-6)


def test_speed_is_positive() -> None:
    """The estimate of a dry run is a number of seconds of speech a second."""
    assert VOCODER.measure_speed() > 0
