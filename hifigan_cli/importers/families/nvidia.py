"""NVIDIA DeepLearningExamples: an official network whose residual blocks have two numbers.

`{generator, gen_ema, config, train_setup, train_state}`; the mel is the official one, under the
names of Tacotron 2. Old files number the blocks as the official code does, and layers that were
trained channels-last have a dimension of 1 at the end.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hifigan_cli.errors import ModelError
from hifigan_cli.importers.checkpoint import Content, ForeignCheckpoint, Imported
from hifigan_cli.importers.families.official import describe, generator_state
from hifigan_cli.importers.foreign_files import read_document
from hifigan_cli.importers.settings import GENERATOR, mel_fields, pick, section, vocoder
from hifigan_cli.importers.weights import nested, rename, tensors

if TYPE_CHECKING:
    from hifigan_cli.config import VocoderConfig

NAME = "NVIDIA DeepLearningExamples"
_MEL_FIELDS = mel_fields(
    "sampling_rate filter_length hop_length win_length num_mels mel_fmin mel_fmax"
)


def recognizes(content: Content) -> bool:
    """Tell a configuration within the file, or blocks with two numbers."""
    state = content.get("generator")
    if not isinstance(state, dict):
        return False
    two = any(re.match(r"(module\.)?resblocks\.\d+\.\d+\.", key) for key in state)
    return two or isinstance(content.get("train_setup"), dict)


def convert(source: ForeignCheckpoint) -> Imported:
    """Read a generator checkpoint; its configuration is within, unless one is named."""
    described = _described(source)
    state = tensors(generator_state(source))
    for key, value in state.items():
        if value.ndim == 4 and value.shape[-1] == 1:  # channels last: two dimensions in time
            state[key] = value.squeeze(-1)
        elif value.ndim not in (1, 3):
            raise ModelError(f"weight {key} has {value.ndim} dimensions")
    rules = nested(len(described.generator.resblock_kernel_sizes))
    return Imported(described, rename(state, rules))


def _described(source: ForeignCheckpoint) -> VocoderConfig:
    """Read the configuration within the file, or one that is named, in their words or official."""
    if source.config:
        named = read_document(source.config)
        if "hop_size" in named:
            return describe(named, source.config)
        mel = pick(named, _MEL_FIELDS, source.config)
        generator = pick(named, GENERATOR, source.config)
        return vocoder(source.config, mel, generator)
    where = source.path
    config = section(source.content, "config", where=where)
    generator = pick(config, GENERATOR, where, others=())
    mel = pick(section(source.content, "train_setup", where=where), _MEL_FIELDS, where)
    return vocoder(where, mel, generator)
