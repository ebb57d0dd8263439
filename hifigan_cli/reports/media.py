"""Sound and pictures as `data:` addresses, so that a page needs no other file."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import soundfile

from hifigan_cli.audio.formats.streams import signals_held
from hifigan_cli.audio.logmel import log_mel
from hifigan_cli.audio.pictures import difference_picture, mel_picture
from hifigan_cli.audio.resampling import fit, resample
from hifigan_cli.audio.writing import to_int16
from hifigan_cli.config import MelConfig

if TYPE_CHECKING:
    from hifigan_cli.audio.reading import Audio
    from hifigan_cli.types import FloatArray

# Browsers decode FLAC; it has half the bytes of WAV, and loses nothing.
_HIGHEST_RATE = 48_000
_MOST_CHANNELS = 2
_PICTURE_MEL = MelConfig(n_mels=128).full_band()
_WIDEST_PIXELS = 1200


def sound_address(audio: Audio) -> str:
    """Return a recording as a `data:` address of FLAC, 16 bits, at most stereo and 48 kHz."""
    if audio.channels > _MOST_CHANNELS:
        audio = audio.mono()
    sample_rate = min(audio.sample_rate, _HIGHEST_RATE)
    samples = resample(audio.samples, audio.sample_rate, sample_rate)
    memory = io.BytesIO()
    with signals_held():
        soundfile.write(memory, to_int16(samples).T, sample_rate, format="FLAC")
    return _address("audio/flac", memory.getvalue())


def shown_mel(audio: Audio) -> FloatArray:
    """Return the log-mel up to 11 025 Hz `(128, frames)` that pictures of a recording show."""
    samples = resample(audio.mono().samples, audio.sample_rate, _PICTURE_MEL.sample_rate)
    at_least_a_frame = fit(samples, max(samples.shape[1], _PICTURE_MEL.n_fft))
    mel: FloatArray = log_mel(at_least_a_frame, _PICTURE_MEL)[0]
    return mel


def picture_address(audio: Audio) -> str:
    """Return the log-mel up to 11 025 Hz as a `data:` address of PNG, a row of pixels per band."""
    mel = shown_mel(audio)
    return _png(mel_picture([np.maximum.reduceat(mel, _columns(mel), axis=1)]))


def difference_address(difference_db: FloatArray, limit_db: float) -> str:
    """Return a difference `(n_mels, frames)` in dB as a PNG whose colors end at `limit_db`."""
    edges = _columns(difference_db)
    widths = np.diff(np.append(edges, difference_db.shape[1]))
    narrow = (np.add.reduceat(difference_db, edges, axis=1) / widths).astype(np.float32)
    return _png(difference_picture(narrow, limit_db))


def _columns(mel: FloatArray) -> npt.NDArray[np.int64]:
    """Return the first frame of each column of a picture that is not too wide."""
    return np.arange(0, mel.shape[1], -(-mel.shape[1] // _WIDEST_PIXELS))


def _png(pixels: npt.NDArray[np.uint8]) -> str:
    from PIL import Image

    memory = io.BytesIO()
    Image.fromarray(pixels).save(memory, "PNG", optimize=True)
    return _address("image/png", memory.getvalue())


def _address(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
