"""NeMo: a .nemo archive of a configuration and weights, including the discriminators.

The mel differs from the official one: its window is symmetric, the ends are padded with zeros, and
no epsilon is added under the square root. Newer models add 1 before the logarithm and do not
normalize the filters by area.
"""

from __future__ import annotations

import math
import struct
import tempfile
from pathlib import Path
from typing import Any

from hifigan_cli.errors import ModelError
from hifigan_cli.importers.checkpoint import Content, ForeignCheckpoint, ImportedGenerator
from hifigan_cli.importers.foreign_files import (
    MAX_DOCUMENT_BYTES,
    copy_members,
    load_tensors_only,
    parse_document,
)
from hifigan_cli.importers.settings import (
    GENERATOR_FIELDS,
    build_config,
    get_section,
    map_fields,
    mel_fields,
    require_values,
)
from hifigan_cli.importers.weights import nested_block_rules, rename_weights, select_tensors

NAME = "NeMo"
CONFIG = "model_config"  # key of the configuration in the content
_CONFIG_FILE, _WEIGHTS_FILE = "model_config.yaml", "model_weights.ckpt"
_MAX_WEIGHTS_BYTES = 8 << 30
_TARGET = "FilterbankFeatures"
_MEL_FIELDS = mel_fields("sample_rate - n_window_stride n_window_size nfilt - -")
_OTHER_SETTINGS = ("_target_", "initial_input_size", "apply_weight_init_conv_pre")
# Limits of float32.
_NAMED_GUARDS = {"tiny": struct.unpack("<f", b"\x00\x00\x80\x00")[0], "eps": 2.0**-23}


def read_archive(path: Path) -> Content:
    """Read the configuration and the weights of a .nemo archive, without unpacking it.

    Raises:
        ModelError: if it is not an archive of a NeMo model.
    """
    with tempfile.TemporaryDirectory(prefix="hifigan-") as folder:  # readable by this user only
        config, weights = Path(folder) / "config", Path(folder) / "weights"
        with config.open("wb") as config_stream, weights.open("wb") as weights_stream:
            wanted = {
                _CONFIG_FILE: (config_stream, MAX_DOCUMENT_BYTES),
                _WEIGHTS_FILE: (weights_stream, _MAX_WEIGHTS_BYTES),
            }
            missing = wanted.keys() - copy_members(path, wanted)
        if missing:
            raise ModelError(f"the archive {path} has no {' and no '.join(sorted(missing))}")
        parsed = parse_document(config.read_bytes(), ".yaml", f"{_CONFIG_FILE} in {path}")
        try:
            state = load_tensors_only(weights)
        except ModelError as error:
            label = f"{_WEIGHTS_FILE} in {path}"
            raise ModelError(error.message.replace(str(weights), label), error.hint) from error
        return {CONFIG: parsed, "state_dict": state}


def recognizes(content: Content) -> bool:
    """Return whether the content comes from a .nemo archive."""
    return CONFIG in content


def convert(source: ForeignCheckpoint) -> ImportedGenerator:
    """Read the generator of a NeMo model."""
    where = f"{_CONFIG_FILE} in {source.path}"
    config = get_section(source.content, CONFIG, where=where)
    generator = get_section(config, "generator", where=where)
    mel, convention = _mel(get_section(config, "preprocessor", where=where), where)
    fields = map_fields(generator, GENERATOR_FIELDS, f"{where}: generator", _OTHER_SETTINGS)
    vocoder = build_config(where, mel, fields, convention)
    state = select_tensors(source.content["state_dict"], "generator.")
    rules = nested_block_rules(len(fields["resblock_kernel_sizes"]))
    return ImportedGenerator(vocoder, rename_weights(state, rules))


def _mel(content: dict[str, Any], where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the sizes and the convention of a preprocessor's mel."""
    target = str(content.get("_target_", _TARGET)).rpartition(".")[2]
    if target != _TARGET:
        raise ModelError(f"{where}: the preprocessor is {target}, but only {_TARGET} is supported")
    label = f"{where}: preprocessor"
    require_values(
        content, label, normalize=None, preemph=None, frame_splicing=1, log=True, window="hann"
    )
    if not content.get("exact_pad", content.get("stft_exact_pad", False)):
        raise ModelError(f"{label}: exact_pad is off, but only exact_pad can be imported")
    mel = map_fields(content, _MEL_FIELDS, label)
    win = mel["win_length"]
    mel["n_fft"] = content.get("n_fft") or 2 ** math.ceil(math.log2(win))
    mel["fmin"] = content.get("lowfreq") or 0.0
    mel["fmax"] = content.get("highfreq")
    guard = content.get("log_zero_guard_value", 2**-24)
    return mel, {
        "pad_mode": "constant",
        "periodic_window": False,
        "magnitude_epsilon": 0.0,
        "power": int(content.get("mag_power", 2.0)),
        "mel_norm": content.get("mel_norm", "slaney") or "none",
        "floor_mode": content.get("log_zero_guard_type", "add"),
        "floor": float(_NAMED_GUARDS.get(guard, guard)),
    }
