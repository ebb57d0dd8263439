"""Helpers that write small corpora of synthetic speech and prepare them in this process."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from hifigan_cli.audio.mel import mel_spectrogram
from hifigan_cli.config import Config, GeneratorConfig, MelConfig, TrainConfig
from hifigan_cli.data import PreparedData, open_prepared
from hifigan_cli.data.preparation import (
    PreparationOptions,
    PreparationProgress,
    PreparationSummary,
    preprocess,
)
from hifigan_cli.data.records import CLIPS_FILE, REJECTED_FILE, Clip, Rejection, read_json_lines
from hifigan_cli.runtime.sharding import UNSHARDED, Shard
from tests.helpers import speech

SAMPLE_RATE = 22_050


def ignore_progress(_progress: PreparationProgress) -> None:
    """Ignore a progress report."""


def write(
    path: Path, samples: Any, sample_rate: int = SAMPLE_RATE, subtype: str = "PCM_16"
) -> Path:
    """Write `(samples,)` or `(samples, channels)` to a file; create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, sample_rate, subtype=subtype)
    return path


def write_corpus(folder: Path, clips: int, length_s: float = 0.4, prefix: str = "clip") -> Path:
    """Write a folder of 16-bit clips of different lengths."""
    for index in range(clips):
        write(folder / f"{prefix}{index:03}.wav", speech(length_s + 0.03 * (index % 5), seed=index))
    return folder


def prepare(
    source: Path, out: Path, shard: Shard = UNSHARDED, **options: Any
) -> PreparationSummary:
    """Run `preprocess` in this process."""
    return preprocess(
        source, out, PreparationOptions(**{"workers": 1, **options}), ignore_progress, shard
    )


def prepare_and_open(source: Path, out: Path, **options: Any) -> PreparedData:
    """Run `preprocess` in this process and open the result."""
    prepare(source, out, **options)
    return open_prepared(out)


def content(folder: Path) -> list[tuple[Clip, bytes]]:
    """Return every clip in the order of the index, without its position, and its samples."""
    data = open_prepared(folder)
    clips = list(read_json_lines(folder / CLIPS_FILE, Clip))
    return [(without_position(clip), data.stored_samples(clip).tobytes()) for clip in clips]


def without_position(clip: Clip) -> Clip:
    """Return a clip with the position zero in file zero."""
    mel = None if clip.mel_offset is None else 0
    return replace(clip, file_index=0, offset=0, mel_offset=mel)


def rejection_reasons(out: Path) -> dict[str, str]:
    """Return the reason of each rejected file."""
    return {r.path: r.reason for r in read_json_lines(out / REJECTED_FILE, Rejection)}


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of every file in a folder and its subfolders."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def log_mel(samples: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the log-mel `(n_mels, frames)` of `(samples,)`."""
    wave = torch.from_numpy(np.asarray(samples, np.float32))[None]
    return np.asarray(mel_spectrogram(wave)[0].numpy())


def write_pairs(folder: Path, mels: Path, clips: int, length_s: float = 0.5) -> None:
    """Write a corpus and the mel of each clip, with a little noise as from an acoustic model."""
    write_corpus(folder, clips, length_s)
    mels.mkdir()
    rng = np.random.default_rng(1)
    for path in sorted(folder.glob("*.wav")):
        mel = log_mel(soundfile.read(path, dtype="float32")[0])
        noisy = np.clip(mel + 0.1 * rng.standard_normal(mel.shape), -11.5, 2)
        np.save(mels / f"{path.stem}.npy", noisy.astype(np.float32))


def config(**train: Any) -> Config:
    """Return the V1 configuration with short segments."""
    values = {"batch_size": 4, "segment_size": 2048, **train}
    return Config(mel=MelConfig(), generator=GeneratorConfig(), train=TrainConfig(**values))
