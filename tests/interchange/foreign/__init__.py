"""Checkpoints as each family writes them, of one small network with random weights.

Names, nesting and configurations follow the code of the projects. `test_packages` compares with
that code itself, where it is installed.
"""

from tests.interchange.foreign.cases import CASES, Case
from tests.interchange.foreign.networks import (
    SMALL,
    SPEECH_T5,
    State,
    blocks_nested,
    folded,
    lists,
    normed,
)
from tests.interchange.foreign.others import write_everyvoice, write_speechbrain
from tests.interchange.foreign.recipes import COQUI_AUDIO, NEMO_MEL, write_coqui, write_nemo
from tests.interchange.foreign.scaled import (
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
