"""hifigan: HiFi-GAN (Kong, Kim, Bae 2020, arXiv 2010.05646) as a tool and a library.

The code has two pipelines, and each stage is a package:

    audio file -> mel -> generator -> audio file
    audio/        audio/  models/, synthesis/

    corpus -> prepared data -> batches -> step -> checkpoint -> synthesis
    data/     data/            data/      training/             synthesis/

Read in this order:

- `errors`, `types`: the exceptions with their exit codes; the array types and notices
- `config`: configurations of models and training; the presets; the source of each value
- `runtime`: devices, threads, processes, shards, signals
- `io`: atomic files, locks, tensor files, untrusted files
- `audio`: decode, encode, resample, the log-mel spectrogram
- `models`: the paper, section by section: generator, discriminators, losses; the model file
- `engines`: several ways to run a generator; `auto` selects the first one available
- `importers`: checkpoints of other toolkits
- `data`: corpus -> prepared data; prepared data -> batches
- `training`: the step, the loop, checkpoints, distribution
- `enhancement`: the enhancer: network, inference and training; the noise filter that runs first
- `synthesis`: mel -> waveform in exact chunks; mel files; many files
- `evaluation`: metrics, thresholds, the report
- `reports`: HTML pages that need no network
- `benchmarks`: how fast this machine synthesizes and trains
- `assets`: files that ship with the package: the enhancer, the demo's speech
- `api`: the functions below
- `cli`: one file per command

Modules of this list import only from modules above them, without cycles; this includes imports for
type checking. A test checks it. Only `cli` prints.

    >>> import hifigan_cli
    >>> "resynthesize" in dir(hifigan_cli)
    True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hifigan_cli.runtime.lazy import lazy_getattr

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

__getattr__ = lazy_getattr(
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
