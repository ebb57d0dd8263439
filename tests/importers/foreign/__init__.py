"""Checkpoints in the format of each family, of one small network with random weights.

Names, nesting and configurations follow the code of the projects. `test_packages` compares with
that code, if it is installed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hifigan_cli.config import GeneratorConfig
from tests.importers.foreign.networks import BSHALL, SMALL, SPEECH_T5
from tests.importers.foreign.nvidia_nemo_coqui import write_coqui, write_nemo, write_nvidia
from tests.importers.foreign.other_families import (
    write_bshall,
    write_espnet,
    write_everyvoice,
    write_parallel_wavegan,
    write_speechbrain,
    write_transformers,
)


@dataclass(frozen=True)
class FamilyCase:
    """A checkpoint of a family: its writer, and the steps before the official network.

    Attributes:
        family: the `NAME` of the family.
        write: writes the files of a state dict into a folder, and returns the checkpoint.
        options: arguments of `write`.
        reflect: whether convolutions use reflection padding.
        normalized: whether the vocoder normalizes its mel.
        padding: the number of frames that the mel is padded with at each end.
    """

    family: str
    write: Callable[..., Path]
    config: GeneratorConfig = SMALL
    n_mels: int = 80
    options: dict[str, Any] = field(default_factory=dict)
    reflect: bool = False
    normalized: bool = False
    padding: int = 0


CASES = {
    "nvidia": FamilyCase("NVIDIA DeepLearningExamples", write_nvidia),
    "nemo": FamilyCase("NeMo", write_nemo),
    "nemo gzipped": FamilyCase("NeMo", write_nemo, options={"mode": "w:gz"}),
    "speechbrain": FamilyCase("SpeechBrain", write_speechbrain, reflect=True, padding=5),
    "parallel_wavegan": FamilyCase("ParallelWaveGAN", write_parallel_wavegan, normalized=True),
    "parallel_wavegan hdf5": FamilyCase(
        "ParallelWaveGAN", write_parallel_wavegan, options={"kind": "h5"}, normalized=True
    ),
    "espnet": FamilyCase("ESPnet", write_espnet, normalized=True),
    "espnet plain": FamilyCase("ESPnet", write_espnet, options={"normalize": False}),
    "transformers": FamilyCase("Transformers", write_transformers, SPEECH_T5, normalized=True),
    "transformers pickled": FamilyCase(
        "Transformers",
        write_transformers,
        SPEECH_T5,
        options={"pickled": True},
        normalized=True,
    ),
    "transformers plain": FamilyCase(
        "Transformers", write_transformers, SPEECH_T5, options={"normalize_before": False}
    ),
    "coqui": FamilyCase("Coqui TTS", write_coqui, padding=5),
    "coqui old": FamilyCase(
        "Coqui TTS", write_coqui, options={"prefixed": False, "within": True}, padding=5
    ),
    "bshall": FamilyCase("bshall", write_bshall, BSHALL, 128, padding=5),
    "bshall training": FamilyCase(
        "bshall", write_bshall, BSHALL, 128, {"training": True}, padding=5
    ),
    "everyvoice": FamilyCase("EveryVoice", write_everyvoice),
}
