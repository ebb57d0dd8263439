"""Checkpoints as each family writes them, of one small network with random weights.

Names, nesting and configurations follow the code of the projects. `test_packages` compares with
that code itself, where it is installed.
"""

from tests.importers.foreign.cases import CASES, Case
from tests.importers.foreign.networks import (
    SMALL,
    SPEECH_T5,
    State,
    blocks_nested,
    folded,
    lists,
    normed,
)
from tests.importers.foreign.others import write_everyvoice, write_speechbrain
from tests.importers.foreign.recipes import COQUI_AUDIO, NEMO_MEL, write_coqui, write_nemo
from tests.importers.foreign.scaled import (
    statistics,
    write_espnet,
    write_parallel_wavegan,
    write_transformers,
)

__all__ = [
    "CASES",
    "COQUI_AUDIO",
    "NEMO_MEL",
    "SMALL",
    "SPEECH_T5",
    "Case",
    "State",
    "blocks_nested",
    "folded",
    "lists",
    "normed",
    "statistics",
    "write_coqui",
    "write_espnet",
    "write_everyvoice",
    "write_nemo",
    "write_parallel_wavegan",
    "write_speechbrain",
    "write_transformers",
]
