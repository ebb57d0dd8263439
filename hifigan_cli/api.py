"""The Python interface: resynthesize a file in three lines.

model = load_model()
speech = resynthesize("recording.wav", model)
speech.save("out.wav")
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hifigan_cli.audio.reading import Audio
from hifigan_cli.audio.recording import open_recording
from hifigan_cli.config import MelConfig
from hifigan_cli.engines.selection import EngineOptions
from hifigan_cli.enhancement.stages import AUTO, Enhancement, EnhancementOptions
from hifigan_cli.enhancement.stages import load_enhancement as load_stages
from hifigan_cli.importers.model_lookup import open_model
from hifigan_cli.synthesis.input_mel import mel_from_array, open_mel
from hifigan_cli.synthesis.streams import as_array
from hifigan_cli.synthesis.vocoder import Vocoder

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch


def load_model(
    name: str | Path | None = None,
    device: str = "auto",
    *,
    engine: str = "auto",
    precision: str = "fp32",
    threads: int | None = None,
) -> Vocoder:
    """Load a vocoder from a model file, a training run's folder or a name; None is the default.

    `engine` is native, onnx, torch, eager or auto, which selects the first one available, in this
    order; `precision` is the same as `--precision`; `threads` is the number of CPU threads, by
    default all available CPUs.

    Raises:
        ModelError: the model is missing or damaged.
        DeviceError: the device is missing.
        UsageError: the engine is missing, or lacks the precision.
    """
    return Vocoder(open_model(name), EngineOptions(engine, precision, device, threads))


def vocode(
    mel: Path | str | npt.ArrayLike | torch.Tensor,
    model: Vocoder | str | Path | None = None,
    *,
    mel_as: str | None = None,
) -> Audio:
    """Synthesize speech from a mel file or a log-mel array `(n_mels, frames)`.

    `mel_as` names the scale of the values, such as `log10` or `db`; `auto` recognizes a clear one.
    With None, a file in a scale other than the model's is rejected, and an array is used unchanged.

    Raises:
        InputError: the input is not a mel for this model.
        ModelError: the model is missing or damaged.
    """
    vocoder = _vocoder(model)
    if isinstance(mel, Path | str):
        mel = open_mel(Path(mel), vocoder.model.mel, mel_as=mel_as).convert_all()
    elif mel_as is not None:
        mel = mel_from_array(as_array(mel), vocoder.model.mel, mel_as).convert_all()
    return vocoder.vocode(mel)


def load_enhancement(
    mode: str = AUTO,
    *,
    mel: MelConfig | None = None,
    enhancer: Path | str | None = None,
    attenuation_limit_db: float | None = None,
    device: str = "auto",
) -> Enhancement:
    """Load the stages that remove noise and reverberation before the vocoder runs.

    `mode` is both, filter, restore, off or auto. Auto runs the filter if its package is installed
    and the enhancer if it supports `mel`; `notes` of the result names the stages that do not run.
    `mel` is the vocoder's mel configuration, by default that of the presets; `enhancer` is the
    enhancer's file or the folder of its training run; `attenuation_limit_db` is the maximum
    attenuation of a band.

    Raises:
        UsageError: the mode is unknown, options conflict, or the requested filter is not installed.
        ModelError: the filter or the enhancer is damaged, or the requested enhancer has another
            mel configuration.
        DeviceError: the device is missing.
    """
    options = EnhancementOptions(mode, enhancer, attenuation_limit_db)
    return load_stages(options, mel or MelConfig(), device)


def resynthesize(
    audio: Path | str | Audio,
    model: Vocoder | str | Path | None = None,
    *,
    enhance: str | Enhancement = AUTO,
    keep_sample_rate: bool = False,
) -> Audio:
    """Resynthesize a recording from its log-mel, channel by channel, at the same length.

    `enhance` selects how noise and reverberation are removed: a mode of `load_enhancement` (auto,
    both, filter, restore, off) or its result. The result has the model's sample rate, or with
    `keep_sample_rate` the recording's.

    Raises:
        InputError: the file is not audio.
        UsageError: the mode is unknown, or its filter is not installed.
        ModelError: the model is missing or damaged, or the enhancer has another mel configuration.
    """
    recording = audio if isinstance(audio, Audio) else open_recording(audio)
    vocoder = _vocoder(model)
    if not isinstance(enhance, Enhancement):
        enhance = load_enhancement(enhance, mel=vocoder.model.mel, device=vocoder.device)
    return vocoder.resynthesize(recording, keep_sample_rate=keep_sample_rate, enhancement=enhance)


def _vocoder(model: Vocoder | str | Path | None) -> Vocoder:
    return model if isinstance(model, Vocoder) else load_model(model)
