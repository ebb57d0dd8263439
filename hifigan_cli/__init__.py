"""hifigan: HiFi-GAN (Kong, Kim, Bae 2020, arXiv 2010.05646) as a tool and a library.

Two paths lead through the code, and each stage is a package:

    audio file -> mel -> generator -> audio file
    audio/        audio/  models/, synthesis/

    corpus -> prepared data -> batches -> step -> checkpoint -> synthesis
    data/     data/            data/      training/             synthesis/

Read in this order:

- `errors`: the exceptions, drawn as a tree, with their exit codes
- `lazily`: names that are loaded when they are first used
- `environment`: what this installation can do, and what would mend what it cannot
- `parts`: part I of N of any list of work
- `config`: what a model is and how it is trained; the presets; where a value came from
- `audio`: files, resampling, the log-mel spectrogram
- `pages`: HTML files that need no network, to look at and to listen to
- `models`: the paper, section by section: generator, discriminators, losses; the model file
- `untrusted`: pickles of others, read as data by a process with limits
- `engines`: several ways to run a generator, the fastest chosen by measurement
- `synthesis`: mel -> waveform in exact chunks; mel files; batches of files
- `data`: preprocess, the prepared corpus, batches as a pure function of seed and step
- `training`: the step, the loop, checkpoints, distribution
- `evaluation`: metrics, bars, the page of a report
- `interchange`: models of other tools, models by name, what a file is
- `benchmarks`: how fast this machine trains
- `assets`: files that come along: the enhancer, the demo's speech
- `api`: the functions below
- `cli`: one file a command

Imports point one way only: errors, config <- audio <- pages, models <- engines <- data,
synthesis <- training, interchange <- benchmarks <- api, cli. A test holds this. Only `cli` prints.

    >>> import hifigan_cli
    >>> "resynthesize" in dir(hifigan_cli)
    True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hifigan_cli.lazily import lazily

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
