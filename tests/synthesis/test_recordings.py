"""Resynthesis in blocks equals resynthesis of the complete recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from hifigan_cli.api import load_enhancement
from hifigan_cli.audio import decoding, read_audio, resample
from hifigan_cli.audio.logmel import log_mel
from hifigan_cli.audio.recording import open_recording
from hifigan_cli.audio.resampling import pad_or_trim, resampled_length
from hifigan_cli.enhancement.stages import Enhancement
from hifigan_cli.synthesis import Vocoder
from tests.enhancement.helpers import enhance_mel
from tests.helpers import speech
from tests.models_for_tests import tiny_model

VOCODER = Vocoder(tiny_model(), "cpu", chunk_frames=20)


def one_pass(path: Path, enhancement: Enhancement, *, keep_sample_rate: bool) -> np.ndarray:
    """Resynthesize with each stage on the complete recording."""
    audio = read_audio(path, repair=True)
    length = resampled_length(audio.length, audio.sample_rate, 22_050)
    samples = pad_or_trim(resample(audio.samples, audio.sample_rate, 22_050), length)
    frames = -(-max(length, VOCODER.model.mel.padding_samples + 1) // 256)
    mel = log_mel(pad_or_trim(samples, frames * 256), VOCODER.model.mel)
    if enhancement.mel_enhancer:
        mel = enhance_mel(enhancement.mel_enhancer, mel, short=audio.length < audio.sample_rate)
    generated = pad_or_trim(VOCODER.engine.synthesize(mel), length)
    if not keep_sample_rate:
        return generated
    return pad_or_trim(resample(generated, 22_050, audio.sample_rate), audio.length)


@pytest.mark.parametrize("sample_rate", [22_050, 16_000, 44_056])
@pytest.mark.parametrize(("channels", "length"), [(1, 1), (1, 70_001), (2, 33_333), (5, 9_999)])
@pytest.mark.parametrize("enhance", [False, True])
def test_blocks_equal_one_pass(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sample_rate: int,
    channels: int,
    length: int,
    enhance: bool,
) -> None:
    """Any sample rate, length and channels, with clipping and NaN to repair: within 1e-5."""
    sounds = [
        speech(length / sample_rate + 0.01, sample_rate, seed)[:length] for seed in range(channels)
    ]
    samples = 2.5 * np.stack(sounds)
    samples[:, length // 2] = np.nan
    soundfile.write(tmp_path / "a.wav", samples.T, sample_rate, "FLOAT")
    monkeypatch.setattr(decoding, "_BLOCK_SAMPLES", 5000)
    recording = open_recording(tmp_path / "a.wav", repair=True, max_cached_samples=0)
    enhancement = load_enhancement("restore" if enhance else "off", device="cpu")
    for keep_sample_rate in (False, True):
        blocks = VOCODER.analyze_blocks(recording, enhancement)
        blocks = VOCODER.match_length(
            VOCODER.vocode_blocks(blocks), recording, keep_sample_rate=keep_sample_rate
        )
        generated = np.concatenate(list(blocks), axis=1)
        expected = one_pass(tmp_path / "a.wav", enhancement, keep_sample_rate=keep_sample_rate)
        assert generated.shape == expected.shape
        np.testing.assert_allclose(generated, expected, atol=1e-5)
