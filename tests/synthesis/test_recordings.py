"""A recording that is never held as a whole gives the very speech of one that is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from hifigan_cli.api import load_enhancement
from hifigan_cli.audio import decoding, read_audio, resample
from hifigan_cli.audio.logmel import log_mel
from hifigan_cli.audio.recording import open_recording
from hifigan_cli.audio.resampling import fit, resampled_length
from hifigan_cli.enhancement.stages import Enhancement
from hifigan_cli.synthesis import Vocoder
from tests.enhancement.small import restore_mel
from tests.helpers import speech
from tests.models_for_tests import tiny_model

VOCODER = Vocoder(tiny_model(), "cpu", chunk_frames=20)


def whole(path: Path, enhancement: Enhancement, *, keep_sample_rate: bool) -> np.ndarray:
    """Resynthesise with every stage over the whole recording at once."""
    audio = read_audio(path, repair=True)
    length = resampled_length(audio.length, audio.sample_rate, 22_050)
    samples = fit(resample(audio.samples, audio.sample_rate, 22_050), length)
    frames = -(-max(length, VOCODER.model.mel.pad_samples + 1) // 256)
    mel = log_mel(fit(samples, frames * 256), VOCODER.model.mel)
    if enhancement.restorer:
        mel = restore_mel(enhancement.restorer, mel, short=audio.length < audio.sample_rate)
    made = fit(VOCODER.engine.synthesize(mel), length)
    return (
        fit(resample(made, 22_050, audio.sample_rate), audio.length) if keep_sample_rate else made
    )


@pytest.mark.parametrize("sample_rate", [22_050, 16_000, 44_056])
@pytest.mark.parametrize(("channels", "length"), [(1, 1), (1, 70_001), (2, 33_333), (5, 9_999)])
@pytest.mark.parametrize("cleaned", [False, True])
def test_blocks_do_not_show(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sample_rate: int,
    channels: int,
    length: int,
    cleaned: bool,
) -> None:
    """Any rate, odd lengths and channels, too loud, with gaps to repair: within 1e-5."""
    sounds = [
        speech(length / sample_rate + 0.01, sample_rate, seed)[:length] for seed in range(channels)
    ]
    samples = 2.5 * np.stack(sounds)
    samples[:, length // 2] = np.nan
    soundfile.write(tmp_path / "a.wav", samples.T, sample_rate, "FLOAT")
    monkeypatch.setattr(decoding, "_BLOCK_SAMPLES", 5000)
    recording = open_recording(tmp_path / "a.wav", repair=True, held_samples=0)
    enhancement = load_enhancement("restore" if cleaned else "off", device="cpu")
    for keep_sample_rate in (False, True):
        blocks = VOCODER.analyse_blocks(recording, enhancement)
        blocks = VOCODER.fit(
            VOCODER.vocode_blocks(blocks), recording, keep_sample_rate=keep_sample_rate
        )
        made = np.concatenate(list(blocks), axis=1)
        expected = whole(tmp_path / "a.wav", enhancement, keep_sample_rate=keep_sample_rate)
        assert made.shape == expected.shape
        np.testing.assert_allclose(made, expected, atol=1e-5)
