"""Checkpoints as each family writes them, of one small network with random weights.

Names, nesting and configurations follow the code of the projects. `test_packages` compares with
that code itself, where it is installed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hifigan_cli.config import GeneratorConfig
from tests.importers.foreign import others, recipes
from tests.importers.foreign.networks import BSHALL, SMALL, SPEECH_T5


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
    "nvidia": Case("NVIDIA DeepLearningExamples", recipes.write_nvidia),
    "nemo": Case("NeMo", recipes.write_nemo),
    "nemo gzipped": Case("NeMo", recipes.write_nemo, options={"mode": "w:gz"}),
    "speechbrain": Case("SpeechBrain", others.write_speechbrain, reflect=True, padding=5),
    "parallel_wavegan": Case("ParallelWaveGAN", others.write_parallel_wavegan, normalised=True),
    "parallel_wavegan hdf5": Case(
        "ParallelWaveGAN", others.write_parallel_wavegan, options={"kind": "h5"}, normalised=True
    ),
    "espnet": Case("ESPnet", others.write_espnet, normalised=True),
    "espnet plain": Case("ESPnet", others.write_espnet, options={"normalize": False}),
    "transformers": Case("Transformers", others.write_transformers, SPEECH_T5, normalised=True),
    "transformers pickled": Case(
        "Transformers",
        others.write_transformers,
        SPEECH_T5,
        options={"pickled": True},
        normalised=True,
    ),
    "transformers plain": Case(
        "Transformers", others.write_transformers, SPEECH_T5, options={"normalize_before": False}
    ),
    "coqui": Case("Coqui TTS", recipes.write_coqui, padding=5),
    "coqui old": Case(
        "Coqui TTS", recipes.write_coqui, options={"wrapped": False, "within": True}, padding=5
    ),
    "bshall": Case("bshall", others.write_bshall, BSHALL, 128, padding=5),
    "bshall training": Case(
        "bshall", others.write_bshall, BSHALL, 128, {"training": True}, padding=5
    ),
    "everyvoice": Case("EveryVoice", others.write_everyvoice),
}
