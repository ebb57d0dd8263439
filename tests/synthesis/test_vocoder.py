"""The vocoder preserves length, sample rate and channels, and accepts arrays and tensors."""

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
    """Return a recording of exactly `length` samples per channel."""
    sounds = [
        speech(length / sample_rate + 0.01, sample_rate, seed + c)[:length] for c in range(channels)
    ]
    return Audio(np.stack(sounds), sample_rate)


@given(length=st.integers(1, 30_000), channels=st.integers(1, 3))
def test_length_and_channels_are_preserved(length: int, channels: int) -> None:
    """At the model's sample rate, the output has as many samples as the input, from one on."""
    generated = VOCODER.resynthesize(recording(length, channels=channels))
    assert generated.samples.shape == (channels, length)
    assert np.isfinite(generated.samples).all()


@given(
    length=st.integers(1, 30_000),
    sample_rate=st.sampled_from([8_000, 16_000, 22_051, 44_056, 44_100, 48_000, 192_000]),
)
def test_sample_rates(length: int, sample_rate: int) -> None:
    """`keep_sample_rate` preserves the number of samples; otherwise the duration is preserved."""
    audio = recording(length, sample_rate)
    generated = VOCODER.resynthesize(audio, keep_sample_rate=True)
    assert (generated.sample_rate, generated.samples.shape[1]) == (sample_rate, length)
    generated = VOCODER.resynthesize(audio)
    assert generated.sample_rate == 22_050
    assert abs(generated.length_s - audio.length_s) < 1 / 22_050


def test_channels_do_not_mix() -> None:
    """Each channel has the result of that channel as a mono recording."""
    audio = recording(20_000, channels=2)
    both = VOCODER.resynthesize(audio).samples
    for channel in range(2):
        mono = VOCODER.resynthesize(Audio(audio.samples[channel : channel + 1], 22_050)).samples
        np.testing.assert_allclose(both[channel], mono[0], atol=1e-6)
    assert np.abs(both[0] - both[1]).max() > 1e-3


def test_resynthesis_equals_mel_then_vocode() -> None:
    """`resynthesize` equals `mel` and then `vocode`, if the length is a multiple of the hop."""
    audio = recording(256 * 90)
    mel = mel_spectrogram(torch.from_numpy(audio.samples))
    generated = VOCODER.resynthesize(audio).samples
    np.testing.assert_allclose(generated, VOCODER.vocode(mel).samples, atol=1e-6)
    np.testing.assert_allclose(VOCODER.mel(audio), mel.numpy(), atol=1e-6)


@pytest.mark.parametrize("shape", [(79, 10), (2, 3, 80), (80,), (1, 1, 80, 10)])
def test_wrong_shapes_are_rejected(shape: tuple[int, ...]) -> None:
    """An array with the wrong shape is an input error, not a crash in a convolution."""
    with pytest.raises(InputError, match=r"frames\)"):
        VOCODER.vocode(np.zeros(shape, np.float32))


def test_tensors_are_accepted() -> None:
    """`vocode` accepts tensors with gradients and in half precision; streams do too."""
    mel = torch.randn(80, 12, requires_grad=True)
    expected = VOCODER.vocode(mel.detach().numpy()).samples
    assert np.array_equal(VOCODER.vocode(mel).samples, expected)
    half = VOCODER.vocode(mel.bfloat16()).samples
    assert np.array_equal(half, VOCODER.vocode(mel.detach().bfloat16().float().numpy()).samples)
    stream = VOCODER.stream()
    generated = np.concatenate([stream.push(mel), stream.finish()])
    np.testing.assert_allclose(generated, expected[0], atol=1e-6)


def test_speed_is_positive() -> None:
    """The speed for the estimate of a dry run is positive."""
    assert VOCODER.measure_speed() > 0
