"""Measure copy-synthesis of 38 LJSpeech clips: the README's table of quality.

    python -m tests.tools.quality [MODEL ...]

Each clip is resynthesised whole; the figure is the mean over clips of the L1 between log-mels of
recording and result: up to 8 kHz (mel_l1) and up to Nyquist (mel_l1_full, the validation error).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from hifigan_cli.api import load_model, resynthesize
from hifigan_cli.audio import mel_spectrogram, read_audio
from hifigan_cli.config import MelConfig

CLIPS = Path(__file__).parents[3] / "shared" / "data" / "valid" / "ljspeech"
MODELS = ("ljspeech-v1", "universal-v1")


class Figures(NamedTuple):
    """Means over clips, in units of natural log."""

    mel_l1: float
    mel_l1_full: float
    clips: int


def measure(model: str, clips: list[Path]) -> Figures:
    """Resynthesise clips with a model and compare them with the recordings."""
    vocoder = load_model(model)
    bands = (MelConfig(), MelConfig().full_band())
    errors = []
    for clip in clips:
        recording = read_audio(clip)
        made = resynthesize(recording, vocoder)
        pair = [torch.from_numpy(audio.samples) for audio in (recording, made)]
        mels = [[mel_spectrogram(samples, band) for samples in pair] for band in bands]
        errors.append([float((a - b).abs().mean()) for a, b in mels])
    mel_l1, mel_l1_full = np.mean(errors, axis=0)
    return Figures(float(mel_l1), float(mel_l1_full), len(clips))


def main() -> None:
    """Print the table as Markdown."""
    clips = sorted(CLIPS.glob("*.flac"))
    sys.stdout.write("| model | mel_l1 | mel_l1_full | clips |\n|---|---|---|---|\n")
    for model in sys.argv[1:] or MODELS:
        f = measure(model, clips)
        sys.stdout.write(f"| {model} | {f.mel_l1:.3f} | {f.mel_l1_full:.3f} | {f.clips} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
