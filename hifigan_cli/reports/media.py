"""Audio and pictures as `data:` URLs, so that a page needs no other file."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import soundfile

from hifigan_cli.audio.formats.streams import defer_signals
from hifigan_cli.audio.logmel import log_mel
from hifigan_cli.audio.pictures import difference_picture, mel_picture
from hifigan_cli.audio.resampling import pad_or_trim, resample
from hifigan_cli.audio.writing import to_int16
from hifigan_cli.config import MelConfig

if TYPE_CHECKING:
    from hifigan_cli.audio.reading import Audio
    from hifigan_cli.types import FloatArray

# Browsers decode FLAC, which is lossless and half the size of WAV.
_MAX_SAMPLE_RATE = 48_000
_MAX_CHANNELS = 2
_DISPLAY_MEL = MelConfig(n_mels=128).full_band()
_MAX_WIDTH = 1200


def audio_data_url(audio: Audio) -> str:
    """Return a recording as 16-bit FLAC in a `data:` URL, at most stereo and 48 kHz."""
    if audio.channels > _MAX_CHANNELS:
        audio = audio.mono()
    sample_rate = min(audio.sample_rate, _MAX_SAMPLE_RATE)
    samples = resample(audio.samples, audio.sample_rate, sample_rate)
    buffer = io.BytesIO()
    with defer_signals():
        soundfile.write(buffer, to_int16(samples).T, sample_rate, format="FLAC")
    return _data_url("audio/flac", buffer.getvalue())


def display_mel(audio: Audio) -> FloatArray:
    """Return the log-mel `(128, frames)` up to 11 025 Hz for pictures of a recording."""
    samples = resample(audio.mono().samples, audio.sample_rate, _DISPLAY_MEL.sample_rate)
    padded = pad_or_trim(samples, max(samples.shape[1], _DISPLAY_MEL.n_fft))
    mel: FloatArray = log_mel(padded, _DISPLAY_MEL)[0]
    return mel


def mel_data_url(audio: Audio) -> str:
    """Return the log-mel up to 11 025 Hz as PNG in a `data:` URL, a row of pixels per band."""
    mel = display_mel(audio)
    return _png(mel_picture([np.maximum.reduceat(mel, _column_starts(mel), axis=1)]))


def difference_data_url(difference_db: FloatArray, limit_db: float) -> str:
    """Return a difference `(n_mels, frames)` in dB as PNG, in colors up to `limit_db`."""
    starts = _column_starts(difference_db)
    widths = np.diff(np.append(starts, difference_db.shape[1]))
    averaged = (np.add.reduceat(difference_db, starts, axis=1) / widths).astype(np.float32)
    return _png(difference_picture(averaged, limit_db))


def _column_starts(mel: FloatArray) -> npt.NDArray[np.int64]:
    """Return the first frame of each pixel column, for at most `_MAX_WIDTH` columns."""
    return np.arange(0, mel.shape[1], -(-mel.shape[1] // _MAX_WIDTH))


def _png(pixels: npt.NDArray[np.uint8]) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return _data_url("image/png", buffer.getvalue())


def _data_url(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
