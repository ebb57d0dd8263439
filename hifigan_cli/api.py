"""The Python interface: from file to file in three lines.

model = load_model()
speech = resynthesize("recording.wav", model)
speech.save("out.wav")
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hifigan_cli.audio.reading import Audio, read_audio
from hifigan_cli.engines.choose import Wish
from hifigan_cli.interchange.locate import locate_enhancer, open_model
from hifigan_cli.models.devices import find_device
from hifigan_cli.models.enhancerfile import read_enhancer
from hifigan_cli.synthesis.enhancement import Enhancement
from hifigan_cli.synthesis.given import take, take_array
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
    return Vocoder(open_model(name), Wish(engine, precision, device, threads))


def vocode(
    mel: Path | str | npt.ArrayLike | torch.Tensor,
    model: Vocoder | str | Path | None = None,
    *,
    mel_as: str | None = None,
) -> Audio:
    """Synthesise speech of a mel file, or of a log-mel array `(mels, frames)`.

    `mel_as` names the scale of its values, such as `log10` or `db`; `auto` recognises it. Without,
    a file that looks like another scale than the model's is refused; an array is taken as it is.

    Raises:
        InputError: not a mel that this model reads.
        ModelError: the model is missing or damaged.
    """
    vocoder = _vocoder(model)
    if isinstance(mel, Path | str):
        mel = take(Path(mel), vocoder.model.mel, taken_as=mel_as).whole()
    elif mel_as is not None:
        mel = take_array(as_array(mel), vocoder.model.mel, mel_as).whole()
    return vocoder.vocode(mel)


def load_enhancement(
    name: str | Path | None = None, device: str = "auto", limit_db: float | None = None
) -> Enhancement:
    """Load an enhancer: a file, a training run's folder, or the one that comes along.

    With `limit_db` no band is lowered by more.

    Raises:
        ModelError: missing or damaged.
        DeviceError: there is no such device.
    """
    return Enhancement(read_enhancer(locate_enhancer(name)), find_device(device), limit_db)


def resynthesize(
    audio: Path | str | Audio,
    model: Vocoder | str | Path | None = None,
    *,
    enhance: bool | Enhancement | None = None,
    keep_rate: bool = False,
) -> Audio:
    """Analyse a recording and synthesise it anew, each channel by itself, at the same length.

    Noise and reverberation are cleaned away where the enhancer reads the model's mel; `enhance`
    False keeps them, True insists, and an `Enhancement` is another one. The result has the model's
    rate, or with `keep_rate` the recording's.

    Raises:
        InputError: the file is not audio.
        ModelError: the model is missing or damaged, or the enhancer reads another mel.
    """
    recording = audio if isinstance(audio, Audio) else read_audio(audio)
    vocoder = _vocoder(model)
    stage = enhance if isinstance(enhance, Enhancement) else None
    if enhance is True or enhance is None:
        found = load_enhancement(device=vocoder.device)
        stage = found if enhance or found.model.mel == vocoder.model.mel else None
    return vocoder.resynthesize(recording, keep_rate=keep_rate, enhancement=stage)


def _vocoder(model: Vocoder | str | Path | None) -> Vocoder:
    return model if isinstance(model, Vocoder) else load_model(model)
