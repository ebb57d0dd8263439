"""The short recording that comes with the tool: for the demo, for measurements, for checks."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.audio.logmel import audio_to_mel
from hifigan_cli.audio.reading import read_audio

if TYPE_CHECKING:
    from hifigan_cli.audio.reading import Audio
    from hifigan_cli.config import MelConfig
    from hifigan_cli.types import FloatArray


def shipped_speech() -> Audio:
    """Read the recording."""
    return read_audio(files("hifigan_cli.assets").joinpath("demo.flac").read_bytes())


def shipped_mel(config: MelConfig, frames: int) -> FloatArray:
    """Compute the recording's log-mel `(n_mels, frames)`, repeated to any length.

    >>> from hifigan_cli.config import MelConfig
    >>> shipped_mel(MelConfig(), 1000).shape
    (80, 1000)
    """
    return repeated_mel(shipped_speech(), config, frames)


def repeated_mel(audio: Audio, config: MelConfig, frames: int) -> FloatArray:
    """Compute a recording's log-mel `(n_mels, frames)`, cut or repeated to a length.

    Raises:
        InputError: the recording is too short for a frame.
    """
    return np.take(audio_to_mel(audio, config), np.arange(frames), axis=1, mode="wrap")
