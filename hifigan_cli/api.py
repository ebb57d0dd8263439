"""The Python interface: from file to file in three lines.

model = load_model()
speech = resynthesize("recording.wav", model)
speech.save("out.wav")
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hifigan_cli.audio import Audio, read_audio
from hifigan_cli.interchange.locate import locate_model
from hifigan_cli.models import read_model
from hifigan_cli.synthesis import Vocoder
from hifigan_cli.synthesis.melfiles import load_mel

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch


def load_model(name: str | Path | None = None, device: str = "auto") -> Vocoder:
    """Load a vocoder: a model file, a training run's folder, a name, or the default model.

    Raises:
        ModelError: missing or damaged.
        DeviceError: there is no such device.
    """
    return Vocoder(read_model(locate_model(name)), device)


def vocode(
    mel: Path | str | npt.ArrayLike | torch.Tensor, model: Vocoder | str | Path | None = None
) -> Audio:
    """Synthesise speech of a mel file, or of a log-mel array `(mels, frames)`.

    Raises:
        InputError: not a mel that this model reads.
        ModelError: the model is missing or damaged.
    """
    vocoder = _vocoder(model)
    if isinstance(mel, Path | str):
        mel = load_mel(Path(mel), vocoder.model.mel.n_mels).copy()
    return vocoder.vocode(mel)


def resynthesize(
    audio: Path | str | Audio, model: Vocoder | str | Path | None = None, *, keep_rate: bool = False
) -> Audio:
    """Analyse a recording and synthesise it anew, each channel by itself, at the same length.

    The result has the model's rate, or with `keep_rate` the recording's.

    Raises:
        InputError: the file is not audio.
        ModelError: the model is missing or damaged.
    """
    recording = audio if isinstance(audio, Audio) else read_audio(audio)
    return _vocoder(model).resynthesize(recording, keep_rate=keep_rate)


def _vocoder(model: Vocoder | str | Path | None) -> Vocoder:
    return model if isinstance(model, Vocoder) else load_model(model)
