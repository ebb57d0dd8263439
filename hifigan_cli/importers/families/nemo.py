"""NeMo: a .nemo archive of a configuration and weights, discriminators among them.

The mel is not the official one: its window is symmetric, the ends are padded by silence, nothing
keeps the square root from zero; newer models add 1 before the logarithm and leave the filters'
areas alone.
"""

from __future__ import annotations

import math
import struct
import tempfile
from pathlib import Path
from typing import Any

from hifigan_cli.errors import ModelError
from hifigan_cli.importers.checkpoint import Content, ForeignCheckpoint, Imported
from hifigan_cli.importers.foreign_files import (
    MOST_BYTES,
    copy_members,
    load_tensors_only,
    parse_document,
)
from hifigan_cli.importers.settings import GENERATOR, fixed, mel_fields, pick, section, vocoder
from hifigan_cli.importers.weights import nested, rename, tensors

NAME = "NeMo"
CONFIG = "model_config"  # in the content of an archive
_CONFIG_FILE, _WEIGHTS_FILE = "model_config.yaml", "model_weights.ckpt"
_WEIGHTS_BYTES = 8 << 30
_TARGET = "FilterbankFeatures"
_MEL_FIELDS = mel_fields("sample_rate - n_window_stride n_window_size nfilt - -")
_OTHERS = ("_target_", "initial_input_size", "apply_weight_init_conv_pre")
_GUARDS = {"tiny": struct.unpack("<f", b"\x00\x00\x80\x00")[0], "eps": 2.0**-23}  # of float32


def read_archive(path: Path) -> Content:
    """Read the configuration and the weights of a .nemo archive, without unpacking it.

    Raises:
        ModelError: not an archive of a NeMo model.
    """
    with tempfile.TemporaryDirectory(prefix="hifigan-") as name:  # only this user may look in
        config, weights = Path(name) / "config", Path(name) / "weights"
        with config.open("wb") as first, weights.open("wb") as second:
            wanted = {_CONFIG_FILE: (first, MOST_BYTES), _WEIGHTS_FILE: (second, _WEIGHTS_BYTES)}
            missing = wanted.keys() - copy_members(path, wanted)
        if missing:
            raise ModelError(f"the archive {path} has no {' and no '.join(sorted(missing))}")
        described = parse_document(config.read_bytes(), ".yaml", f"{_CONFIG_FILE} in {path}")
        try:
            state = load_tensors_only(weights)
        except ModelError as error:
            label = f"{_WEIGHTS_FILE} in {path}"
            raise ModelError(error.message.replace(str(weights), label), error.hint) from error
        return {CONFIG: described, "state_dict": state}


def recognizes(content: Content) -> bool:
    """Tell the content of an archive."""
    return CONFIG in content


def convert(source: ForeignCheckpoint) -> Imported:
    """Read the generator of a NeMo model."""
    where = f"{_CONFIG_FILE} in {source.path}"
    config = section(source.content, CONFIG, where=where)
    generator = section(config, "generator", where=where)
    mel, convention = _mel(section(config, "preprocessor", where=where), where)
    fields = pick(generator, GENERATOR, f"{where}: generator", _OTHERS)
    described = vocoder(where, mel, fields, convention)
    state = tensors(source.content["state_dict"], "generator.")
    return Imported(described, rename(state, nested(len(fields["resblock_kernel_sizes"]))))


def _mel(content: dict[str, Any], where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the sizes and the convention of the mel that a preprocessor makes."""
    target = str(content.get("_target_", _TARGET)).rpartition(".")[2]
    if target != _TARGET:
        raise ModelError(f"{where}: a preprocessor {target} is not known, only {_TARGET} is")
    label = f"{where}: preprocessor"
    fixed(content, label, normalize=None, preemph=None, frame_splicing=1, log=True, window="hann")
    exact = content.get("exact_pad", content.get("stft_exact_pad", False))
    if not exact:
        raise ModelError(f"{label}: only exact_pad can be imported")
    mel = pick(content, _MEL_FIELDS, label)
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
        "guard": content.get("log_zero_guard_type", "add"),
        "floor": float(_GUARDS.get(guard, guard)),
    }
