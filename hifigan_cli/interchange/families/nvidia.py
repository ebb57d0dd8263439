"""NVIDIA DeepLearningExamples: an official network whose residual blocks have two numbers.

`{generator, gen_ema, config, train_setup, train_state}`; the mel is the official one, under the
names of Tacotron 2. Old files number the blocks as the official code does, and layers that were
trained channels-last have a dimension of 1 at the end.
"""

from __future__ import annotations

import re

from hifigan_cli.errors import ModelError
from hifigan_cli.interchange.families.base import Content, Imported, Source
from hifigan_cli.interchange.families.keys import (
    nested,
    only,
    pick,
    rename,
    section,
    tensors,
    vocoder,
)
from hifigan_cli.interchange.families.official import GENERATOR_FIELDS, weights
from hifigan_cli.interchange.loading.documents import read_document

NAME = "NVIDIA DeepLearningExamples"
_MEL_FIELDS = {
    "rate_hz": "sampling_rate",
    "n_fft": "filter_length",
    "hop_samples": "hop_length",
    "win_samples": "win_length",
    "n_mels": "num_mels",
    "fmin_hz": "mel_fmin",
    "fmax_hz": "mel_fmax",
}


def recognises(content: Content) -> bool:
    """Tell a configuration within the file, or blocks with two numbers."""
    state = content.get("generator")
    if not isinstance(state, dict):
        return False
    two = any(re.match(r"(module\.)?resblocks\.\d+\.\d+\.", key) for key in state)
    return two or isinstance(content.get("train_setup"), dict)


def convert(source: Source) -> Imported:
    """Read a generator checkpoint; its configuration is within, unless one is named.

    Raises:
        ModelError: it has no configuration, or one that does not fit.
    """
    where = source.config or source.checkpoint
    own = {} if source.config else source.content
    named = read_document(source.config) if source.config else {}
    config = named or section(own, "config", where=where)
    setup = named or section(own, "train_setup", where=where)
    if not source.config:
        only(config, GENERATOR_FIELDS, where)
    generator = pick(config, {name: name for name in GENERATOR_FIELDS}, where)
    described = vocoder(where, pick(setup, _MEL_FIELDS, where), generator)
    state = tensors(weights(source))
    for key, value in state.items():
        if value.ndim == 4 and value.shape[-1] == 1:  # channels last: two dimensions in time
            state[key] = value.squeeze(-1)
        elif value.ndim not in (1, 3):
            raise ModelError(f"weight {key} has {value.ndim} dimensions")
    rules = nested(len(described.generator.resblock_kernel_sizes))
    return Imported(described, rename(state, rules))
