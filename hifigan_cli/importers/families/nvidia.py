"""NVIDIA DeepLearningExamples: an official network with two indices per residual block.

A checkpoint is `{generator, gen_ema, config, train_setup, train_state}`. The mel is the official
one, under the names of Tacotron 2. Old files number the blocks as the official code does, and
layers that were trained channels-last have a trailing dimension of 1.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hifigan_cli.errors import ModelError
from hifigan_cli.importers.checkpoint import Content, ForeignCheckpoint, ImportedGenerator
from hifigan_cli.importers.families.official import parse_config, select_generator_state
from hifigan_cli.importers.foreign_files import read_document
from hifigan_cli.importers.settings import (
    GENERATOR_FIELDS,
    build_config,
    get_section,
    map_fields,
    mel_fields,
)
from hifigan_cli.importers.weights import nested_block_rules, rename_weights, select_tensors

if TYPE_CHECKING:
    from hifigan_cli.config import VocoderConfig

NAME = "NVIDIA DeepLearningExamples"
_MEL_FIELDS = mel_fields(
    "sampling_rate filter_length hop_length win_length num_mels mel_fmin mel_fmax"
)


def recognizes(content: Content) -> bool:
    """Return whether there is a training setup, or residual blocks with two indices."""
    state = content.get("generator")
    if not isinstance(state, dict):
        return False
    nested = any(re.match(r"(module\.)?resblocks\.\d+\.\d+\.", key) for key in state)
    return nested or isinstance(content.get("train_setup"), dict)


def convert(source: ForeignCheckpoint) -> ImportedGenerator:
    """Read a generator; the configuration is in the checkpoint, unless one is named."""
    config = _read_config(source)
    state = select_tensors(select_generator_state(source))
    for key, value in state.items():
        if value.ndim == 4 and value.shape[-1] == 1:  # trained channels-last
            state[key] = value.squeeze(-1)
        elif value.ndim not in (1, 3):
            raise ModelError(f"weight {key} has {value.ndim} dimensions")
    rules = nested_block_rules(len(config.generator.resblock_kernel_sizes))
    return ImportedGenerator(config, rename_weights(state, rules))


def _read_config(source: ForeignCheckpoint) -> VocoderConfig:
    """Read the checkpoint's own configuration, or a named one with NVIDIA's or official keys."""
    if source.config:
        named = read_document(source.config)
        if "hop_size" in named:
            return parse_config(named, source.config)
        mel = map_fields(named, _MEL_FIELDS, source.config)
        generator = map_fields(named, GENERATOR_FIELDS, source.config)
        return build_config(source.config, mel, generator)
    where = source.path
    config = get_section(source.content, "config", where=where)
    generator = map_fields(config, GENERATOR_FIELDS, where, other_settings=())
    mel = map_fields(get_section(source.content, "train_setup", where=where), _MEL_FIELDS, where)
    return build_config(where, mel, generator)
