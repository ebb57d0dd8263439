"""Sound and pictures as `data:` addresses, so that a page needs no other file."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import torch

from hifigan_cli.audio.mel import mel_spectrogram
from hifigan_cli.audio.pictures import mel_picture
from hifigan_cli.audio.resampling import fit, resample
from hifigan_cli.audio.writing import to_int16
from hifigan_cli.config import MelConfig

if TYPE_CHECKING:
    from hifigan_cli.audio.reading import Audio

# Browsers decode FLAC; half the bytes of WAV, and nothing is lost.
_MOST_RATE_HZ = 48_000
_MOST_CHANNELS = 2
_PICTURE = MelConfig(n_mels=128).full_band()
_WIDEST_PIXELS = 1200
# A picture takes at least one frame.
_LEAST_SAMPLES = _PICTURE.n_fft


def sound_address(audio: Audio) -> str:
    """Return a recording as a `data:` address of FLAC, 16 bits, at most stereo and 48 kHz."""
    if audio.channels > _MOST_CHANNELS:
        audio = audio.mono()
    rate_hz = min(audio.rate_hz, _MOST_RATE_HZ)
    samples = resample(audio.samples, audio.rate_hz, rate_hz)
    memory = io.BytesIO()
    soundfile.write(memory, to_int16(samples).T, rate_hz, format="FLAC")
    return _address("audio/flac", memory.getvalue())


def picture_address(audio: Audio) -> str:
    """Return the log-mel up to 11 025 Hz as a `data:` address of PNG, a row of pixels a band."""
    from PIL import Image

    samples = resample(audio.mono().samples, audio.rate_hz, _PICTURE.rate_hz)
    samples = fit(samples, max(samples.shape[1], _LEAST_SAMPLES))
    mel = mel_spectrogram(torch.from_numpy(samples), _PICTURE)[0].numpy()
    step = -(-mel.shape[1] // _WIDEST_PIXELS)
    edges = np.arange(0, mel.shape[1], step)
    narrow = np.maximum.reduceat(mel, edges, axis=1)
    memory = io.BytesIO()
    Image.fromarray(mel_picture([narrow])).save(memory, "PNG", optimize=True)
    return _address("image/png", memory.getvalue())


def _address(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
