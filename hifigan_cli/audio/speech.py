"""The short bundled recording, used by the demo, benchmarks and checks."""

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


def bundled_speech() -> Audio:
    """Read the bundled recording."""
    return read_audio(files("hifigan_cli.assets").joinpath("demo.flac").read_bytes())


def bundled_mel(config: MelConfig, frames: int) -> FloatArray:
    """Compute the log-mel `(n_mels, frames)` of the bundled recording, trimmed or repeated.

    >>> from hifigan_cli.config import MelConfig
    >>> bundled_mel(MelConfig(), 1000).shape
    (80, 1000)
    """
    return repeated_mel(bundled_speech(), config, frames)


def repeated_mel(audio: Audio, config: MelConfig, frames: int) -> FloatArray:
    """Compute the log-mel `(n_mels, frames)` of a recording, trimmed or repeated to the length.

    Raises:
        InputError: the recording is too short for a frame.
    """
    return np.take(audio_to_mel(audio, config), np.arange(frames), axis=1, mode="wrap")
