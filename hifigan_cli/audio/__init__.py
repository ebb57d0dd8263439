"""Audio files and the mel spectrogram: waveform in, log-mel out.

An audio file becomes a mel in three steps, in blocks, so that its length costs no memory:

- `formats`: which bytes are audio at all, and whether they are complete
- `decoding`: the bytes of a file -> blocks of samples, as stored
- `recording`: -> the same blocks, finite and within full scale; `open_recording` checks all first
- `resampling`: -> blocks at the rate of the model, through soxr
- `logmel`: -> blocks of the log-mel

The others:

- `reading`: a file -> `Audio`, samples `(channels, samples)` in memory with their rate
- `writing`: samples -> a file, atomically, never wrapped around
- `wav_stream`: samples -> a pipe, as WAV or raw
- `levels`: silent, clipped, off center
- `filterbank`, `mel`: the mel bands; the log-mel in torch, with gradients, for training
- `conventions`: which convention the values of a mel give away, and the way to ours
- `speech`: the recording that comes with the tool
- `pictures`: log-mels to look at
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hifigan_cli.runtime.lazy import lazily

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

__getattr__ = lazily(
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
