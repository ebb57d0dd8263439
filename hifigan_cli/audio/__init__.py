"""Audio files and the mel spectrogram: waveform in, log-mel out.

An audio file becomes a mel in these steps, in blocks, so that memory does not grow with length:

- `formats`: identifies audio by its bytes, and checks that it is complete
- `decoding`: decodes a file into blocks of samples, as stored
- `recording`: repairs the blocks (finite, within full scale); `open_recording` checks them first
- `resampling`: converts blocks to the sample rate of the model, with soxr
- `logmel`: computes blocks of the log-mel

The other modules:

- `reading`: reads a file into `Audio`: samples `(channels, samples)` in memory and their rate
- `writing`: writes samples to a file, atomically and without wraparound
- `wav_stream`: writes samples to a pipe, as WAV or raw
- `levels`: detects silence, clipping and a constant offset
- `filterbank`, `mel`: the mel filterbank; the log-mel in torch, with gradients, for training
- `conventions`: detects the convention of a mel by its values, and converts it to a model's
- `speech`: the bundled recording
- `pictures`: pictures of log-mels
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hifigan_cli.runtime.lazy import lazy_getattr

if TYPE_CHECKING:
    from hifigan_cli.audio.mel import MelSpectrogram, mel_spectrogram
    from hifigan_cli.audio.reading import Audio, read_audio
    from hifigan_cli.audio.resampling import resample
    from hifigan_cli.audio.writing import write_audio

__all__ = [
    "Audio",
    "MelSpectrogram",
    "mel_spectrogram",
    "read_audio",
    "resample",
    "write_audio",
]

__getattr__ = lazy_getattr(
    __name__,
    {
        "Audio": "reading",
        "MelSpectrogram": "mel",
        "mel_spectrogram": "mel",
        "read_audio": "reading",
        "resample": "resampling",
        "write_audio": "writing",
    },
)
