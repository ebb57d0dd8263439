"""The Python interface: from file to file in three lines.

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
from hifigan_cli.engines.choose import EngineOptions
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
    """Load a vocoder: a model file, a training run's folder, a name, or the default model.

    `engine` is native, onnx, torch or eager, or the best there is; `precision` as --precision;
    `threads` those of a CPU, by default as many as there are processors at hand.

    Raises:
        ModelError: missing or damaged.
        DeviceError: there is no such device.
        UsageError: the engine is missing, or lacks the precision.
    """
    return Vocoder(open_model(name), EngineOptions(engine, precision, device, threads))


def vocode(
    mel: Path | str | npt.ArrayLike | torch.Tensor,
    model: Vocoder | str | Path | None = None,
    *,
    mel_as: str | None = None,
) -> Audio:
    """Synthesise speech of a mel file, or of a log-mel array `(mels, frames)`.

    `mel_as` names the scale of its values, such as `log10` or `db`; `auto` recognizes it where it
    is clear. Without, a file that looks like another scale than the model's is refused; an array is
    used as it is.

    Raises:
        InputError: not a mel that this model reads.
        ModelError: the model is missing or damaged.
    """
    vocoder = _vocoder(model)
    if isinstance(mel, Path | str):
        mel = open_mel(Path(mel), vocoder.model.mel, mel_as=mel_as).converted()
    elif mel_as is not None:
        mel = mel_from_array(as_array(mel), vocoder.model.mel, mel_as).converted()
    return vocoder.vocode(mel)


def load_enhancement(
    mode: str = AUTO,
    *,
    mel: MelConfig | None = None,
    enhancer: Path | str | None = None,
    limit_db: float | None = None,
    device: str = "auto",
) -> Enhancement:
    """Load the stages that remove noise and reverberation in front of a vocoder.

    `mode` is both, filter, restore, off, or auto: both stages run where they can, the filter where
    its package is installed, the restorer for models of its mel; `notes` of the result names what
    is left out. `mel` is what the vocoder reads, by default the presets'
    mel; `enhancer` the restorer's file or the folder of its training run; with `limit_db` no band
    is lowered by more.

    Raises:
        UsageError: an unknown mode, options that contradict each other, or the filter was asked
            for and is not installed.
        ModelError: the filter or the enhancer is damaged, or the enhancer was asked for and works
            on another mel.
        DeviceError: there is no such device.
    """
    options = EnhancementOptions(mode, enhancer, limit_db)
    return load_stages(options, mel or MelConfig(), device)


def resynthesize(
    audio: Path | str | Audio,
    model: Vocoder | str | Path | None = None,
    *,
    enhance: str | Enhancement = AUTO,
    keep_sample_rate: bool = False,
) -> Audio:
    """Analyse a recording and synthesise it anew, each channel by itself, at the same length.

    Noise and reverberation are removed as `enhance` says: a mode of `load_enhancement` (auto, both,
    filter, restore, off), or what that function has returned. The result has the model's rate, or
    with `keep_sample_rate` the recording's.

    Raises:
        InputError: the file is not audio.
        UsageError: an unknown mode, or its filter is not installed.
        ModelError: the model is missing or damaged, or the enhancer reads another mel.
    """
    recording = audio if isinstance(audio, Audio) else open_recording(audio)
    vocoder = _vocoder(model)
    if not isinstance(enhance, Enhancement):
        enhance = load_enhancement(enhance, mel=vocoder.model.mel, device=vocoder.device)
    return vocoder.resynthesize(recording, keep_sample_rate=keep_sample_rate, enhancement=enhance)


def _vocoder(model: Vocoder | str | Path | None) -> Vocoder:
    return model if isinstance(model, Vocoder) else load_model(model)
