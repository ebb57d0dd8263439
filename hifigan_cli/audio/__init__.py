"""Audio files and the mel spectrogram: waveform in, log-mel out.

Read in this order:

- `formats`: which bytes are audio at all, and whether they are whole
- `decoding`: the bytes of a file -> blocks of samples, as stored
- `survey`: what the samples come to: length, extremes, what is not a number
- `recording`: a file of any length -> sound in blocks, finite and within full scale
- `reading`: any file or stream -> `Audio`: float32 samples `(channels, samples)` and a rate
- `levels`: silent, clipped, off centre
- `writing`: `Audio` -> a file, whole or in blocks, never half-written, never wrapped around
- `wav_stream`: samples -> a pipe, as WAV or raw
- `resampling`: any pair of rates, through soxr
- `mel`, `filterbank`: the log-mel spectrogram that a model reads and that its loss compares
- `logmel`: the same of arrays, without torch and its gradients
- `conventions`: which convention the values of a mel give away, and the way to ours
- `analysis`: a recording -> its log-mel, as `hifigan mel` makes it
- `speech`: what comes with the tool to try it with
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
