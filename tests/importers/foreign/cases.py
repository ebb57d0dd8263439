"""Every family's file, and what comes before the official network in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hifigan_cli.config import GeneratorConfig
from tests.importers.foreign.networks import BSHALL, SMALL, SPEECH_T5
from tests.importers.foreign.others import write_bshall, write_everyvoice, write_speechbrain
from tests.importers.foreign.recipes import write_coqui, write_nemo, write_nvidia
from tests.importers.foreign.scaled import (
    write_espnet,
    write_parallel_wavegan,
    write_transformers,
)


@dataclass(frozen=True)
class Case:
    """A family's file: how it is written, and what comes before the official network."""

    family: str
    write: Callable[..., Path]
    config: GeneratorConfig = SMALL
    n_mels: int = 80
    options: dict[str, Any] = field(default_factory=dict)
    reflect: bool = False
    normalised: bool = False
    padding: int = 0


CASES = {
    "nvidia": Case("NVIDIA DeepLearningExamples", write_nvidia),
    "nemo": Case("NeMo", write_nemo),
    "nemo gzipped": Case("NeMo", write_nemo, options={"mode": "w:gz"}),
    "speechbrain": Case("SpeechBrain", write_speechbrain, reflect=True, padding=5),
    "parallel_wavegan": Case("ParallelWaveGAN", write_parallel_wavegan, normalised=True),
    "parallel_wavegan hdf5": Case(
        "ParallelWaveGAN", write_parallel_wavegan, options={"kind": "h5"}, normalised=True
    ),
    "espnet": Case("ESPnet", write_espnet, normalised=True),
    "espnet plain": Case("ESPnet", write_espnet, options={"normalize": False}),
    "transformers": Case("Transformers", write_transformers, SPEECH_T5, normalised=True),
    "transformers pickled": Case(
        "Transformers", write_transformers, SPEECH_T5, options={"pickled": True}, normalised=True
    ),
    "transformers plain": Case(
        "Transformers", write_transformers, SPEECH_T5, options={"normalize_before": False}
    ),
    "coqui": Case("Coqui TTS", write_coqui, padding=5),
    "coqui old": Case(
        "Coqui TTS", write_coqui, options={"wrapped": False, "within": True}, padding=5
    ),
    "bshall": Case("bshall", write_bshall, BSHALL, 128, padding=5),
    "bshall training": Case("bshall", write_bshall, BSHALL, 128, {"training": True}, padding=5),
    "everyvoice": Case("EveryVoice", write_everyvoice),
}
