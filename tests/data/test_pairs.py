"""Test input mels: every pair is checked, and the stored mel matches the samples exactly."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hifigan_cli.config import MelConfig
from tests.data.corpora import (
    log_mel,
    prepare,
    prepare_and_open,
    rejection_reasons,
    write,
    write_pairs,
)
from tests.helpers import hifigan, speech


def damage_mels(mels: Path) -> dict[str, str]:
    """Damage all but the first three mels in different ways; return the expected reasons."""
    files = sorted(mels.iterdir())[3:]
    names = [f"{file.stem}.wav" for file in files]
    mel = [np.load(file) for file in files]
    files[0].unlink()
    np.save(files[1], mel[1].T)
    np.save(files[2], mel[2][:79])
    np.save(files[3], mel[3][:, :-2])
    np.save(files[4], np.where(mel[4] > 0, np.nan, mel[4]))
    np.save(files[5], mel[5] * 20 / np.log(10))  # decibels
    np.save(files[6], mel[6] / np.log(10))  # the other logarithm
    np.save(files[7], np.array([{"a": 1}], dtype=object), allow_pickle=True)
    files[8].write_bytes(b"no array")
    np.save(files[9], mel[9].astype(np.int32))
    np.save(files[10], mel[10] + np.float32(1.5))  # the mel of a recording four times as loud
    np.save(files[11], mel[11][0])
    files[12].write_bytes(files[12].read_bytes()[:-40])
    files[13].unlink()
    os.mkfifo(files[13])  # without a writer
    reasons = [
        "mel missing",
        *["mel of another shape"] * 3,
        "not finite",
        "mel of another convention",
        "mel of another clip",
        *["mel unreadable"] * 2,
        "mel of another convention",
        "mel of another clip",
        "mel of another shape",
        *["mel unreadable"] * 2,
    ]
    return dict(zip(names, reasons, strict=True))


def test_rejected_mels_have_reasons(tmp_path: Path) -> None:
    """Every kind of unusable mel is found before training, where it would silently do harm."""
    write_pairs(tmp_path / "in", tmp_path / "mels", 17)
    expected = damage_mels(tmp_path / "mels")
    prepare(tmp_path / "in", tmp_path / "out", mels=tmp_path / "mels")
    assert rejection_reasons(tmp_path / "out") == expected
    text = (tmp_path / "out" / "rejected.jsonl").read_text()
    assert "mel.T" in text
    assert str(tmp_path) not in text


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_pairs_are_cut_to_common_frames(tmp_path: Path, extra: int) -> None:
    """The length may differ by one frame; the samples are cut to the common frames."""
    voice = speech(0.5)
    frames = len(voice) // 256
    write(tmp_path / "in" / "a.wav", voice)
    (tmp_path / "mels").mkdir()
    mel = log_mel(voice)
    stored = np.concatenate([mel, mel[:, -1:]], axis=1)[:, : frames + extra]
    np.save(tmp_path / "mels" / "a.npy", stored[None].astype(np.float64))  # official: (1, mels, n)
    data = prepare_and_open(tmp_path / "in", tmp_path / "out", mels=tmp_path / "mels")
    clip = data.training[0]
    assert clip.mel_frames == min(frames, frames + extra)
    assert clip.samples == clip.mel_frames * 256
    assert np.array_equal(data.input_mel(clip), stored.T.astype(np.float32)[: clip.mel_frames])
    assert np.array_equal(data.input_mel(clip, 3, 9), data.input_mel(clip)[3:9])


def test_pairs_keep_their_level(tmp_path: Path) -> None:
    """A recording normalized to 0.95 would not match its mel."""
    write_pairs(tmp_path / "in", tmp_path / "mels", 2)
    data = prepare_and_open(tmp_path / "in", tmp_path / "out", mels=tmp_path / "mels")
    assert data.has_mels
    assert data.mel_config == MelConfig()
    for clip in (*data.training, *data.validation):
        original = soundfile.read(tmp_path / "in" / clip.path, dtype="float32")[0]
        assert np.array_equal(data.samples(clip), original[: clip.samples])


def test_pair_over_full_scale_is_rejected(tmp_path: Path) -> None:
    """Samples above full scale are scaled down, but the mel is not."""
    write_pairs(tmp_path / "in", tmp_path / "mels", 3)
    voice = soundfile.read(tmp_path / "in" / "clip000.wav", dtype="float32")[0]
    write(tmp_path / "in" / "clip000.wav", voice * 3, subtype="FLOAT")
    prepare(tmp_path / "in", tmp_path / "out", mels=tmp_path / "mels")
    assert rejection_reasons(tmp_path / "out") == {"clip000.wav": "over full scale"}


@pytest.mark.parametrize("seed", [1, 2])
def test_blurred_mels_of_real_speech(tmp_path: Path, ljspeech_clips: list[Path], seed: int) -> None:
    """Blurred mels are accepted; mels of other clips are rejected."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    (tmp_path / "mels").mkdir()
    waves = []
    for index, path in enumerate(rng.choice(np.array(ljspeech_clips, object), 6, replace=False)):
        waves.append(soundfile.read(path, dtype="float32")[0][:40_000])
        write(tmp_path / "in" / f"{index}.wav", waves[-1])
    for index in range(6):
        mel = log_mel(waves[index if index < 3 else 3 + (index + 1) % 3])
        np.save(tmp_path / "mels" / f"{index}.npy", gaussian_filter(mel, 3))
    prepare(tmp_path / "in", tmp_path / "out", mels=tmp_path / "mels")
    assert rejection_reasons(tmp_path / "out") == {
        f"{i}.wav": "mel of another clip" for i in (3, 4, 5)
    }


def test_pairs_by_command(tmp_path: Path) -> None:
    """The command accepts a folder of mels, detects changes, and rejects a missing folder."""
    write_pairs(tmp_path / "in", tmp_path / "mels", 2)
    arguments = ("preprocess", tmp_path / "in", "-o", tmp_path / "out", "--mels")
    run = hifigan(*arguments, tmp_path / "mels")
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "out" / "mels-00000.f32").stat().st_size > 0
    mel = np.load(tmp_path / "mels" / "clip001.npy")
    np.save(tmp_path / "mels" / "clip001.npy", mel + np.float32(0.01))
    changed = hifigan(*arguments, tmp_path / "mels")
    assert changed.returncode == 4
    assert "1 file is changed (clip001.wav)" in " ".join(changed.stderr.split())
    missing = hifigan(*arguments, tmp_path / "none")
    assert missing.returncode == 2
