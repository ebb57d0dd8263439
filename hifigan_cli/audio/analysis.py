"""Recording -> log-mel array: the whole way of `hifigan mel`, for one file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hifigan_cli.audio.logmel import log_mel
from hifigan_cli.audio.resampling import resample

if TYPE_CHECKING:
    from hifigan_cli.audio.reading import Audio
    from hifigan_cli.config import MelConfig
    from hifigan_cli.types import FloatArray


def analyse(audio: Audio, config: MelConfig) -> FloatArray:
    """Mix a recording to mono, convert its rate, and return its log-mel `(mels, frames)`.

    frames = floor(samples / hop): what remains at the end is not covered, as in training.

    Raises:
        InputError: the recording is too short for a frame.
    """
    samples = resample(audio.mono().samples, audio.rate_hz, config.rate_hz)
    mel: FloatArray = log_mel(samples, config)[0]
    return mel
