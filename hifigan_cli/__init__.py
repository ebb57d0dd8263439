"""hifigan: HiFi-GAN (Kong, Kim, Bae 2020, arXiv 2010.05646) as a tool and a library.

Two paths lead through the code, and each stage is a package:

    audio file -> mel -> generator -> audio file
    audio/        audio/  models/, synthesis/

    corpus -> prepared data -> batches -> step -> checkpoint -> synthesis
    data/     data/            data/      training/             synthesis/

Read in this order:

- `errors`, `types`: the exceptions, drawn as a tree, with their exit codes; the array types
- `config`: what a model is and how it is trained; the presets; where a value came from
- `runtime`: devices, threads, processes, shards, signals
- `io`: atomic files, locks, tensor files, files that nobody vouches for
- `audio`: decode, encode, resample, the log-mel spectrogram
- `models`: the paper, section by section: generator, discriminators, losses; the model file
- `engines`: several ways to run a generator, the fastest chosen by measurement
- `importers`: checkpoints of other toolkits
- `data`: corpus -> prepared data; prepared data -> batches
- `training`: the step, the loop, checkpoints, distribution
- `enhancement`: everything of the enhancer, and the noise filter in front of it
- `synthesis`: mel -> waveform in exact chunks; mel files; many files
- `evaluation`: metrics, thresholds, the report
- `reports`: HTML pages that need no network
- `benchmarks`: how fast this machine synthesizes and trains
- `assets`: files that ship with the package: the enhancer, the demo's speech
- `api`: the functions below
- `cli`: one file per command

Imports point one way, from the bottom of this list to its top, type-checking imports included, and
without circles. A test holds this. Only `cli` prints.

    >>> import hifigan_cli
    >>> "resynthesize" in dir(hifigan_cli)
    True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hifigan_cli.runtime.lazy import lazily

if TYPE_CHECKING:
    from hifigan_cli.api import load_enhancement, load_model, resynthesize, vocode
    from hifigan_cli.audio import Audio, mel_spectrogram, read_audio, write_audio
    from hifigan_cli.errors import HifiganError
    from hifigan_cli.evaluation import evaluate
    from hifigan_cli.synthesis import Vocoder

__all__ = [
    "Audio",
    "HifiganError",
    "Vocoder",
    "evaluate",
    "load_enhancement",
    "load_model",
    "mel_spectrogram",
    "read_audio",
    "resynthesize",
    "vocode",
    "write_audio",
]

__getattr__ = lazily(
    __name__,
    {
        "Audio": "audio",
        "HifiganError": "errors",
        "Vocoder": "synthesis",
        "evaluate": "evaluation",
        "load_enhancement": "api",
        "load_model": "api",
        "mel_spectrogram": "audio",
        "read_audio": "audio",
        "resynthesize": "api",
        "vocode": "api",
        "write_audio": "audio",
    },
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
