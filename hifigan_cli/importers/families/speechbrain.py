"""SpeechBrain: an official network whose convolutions use reflection padding.

The checkpoint is the state dict of the generator. The hyperparams.yaml next to it is HyperPyYAML;
its references are resolved, and its objects are not created. At inference the mel is padded with
five copies of its first and of its last frame.
"""

from __future__ import annotations

import re
from typing import Any

from hifigan_cli.errors import ModelError
from hifigan_cli.importers.checkpoint import Content, ForeignCheckpoint, ImportedGenerator
from hifigan_cli.importers.families.coqui import GENERATOR_FIELDS
from hifigan_cli.importers.settings import build_config, map_fields, mel_fields, require_values
from hifigan_cli.importers.weights import add_zero_biases, has_layer, rename_weights, select_tensors

NAME = "SpeechBrain"
_OTHER_SETTINGS = (
    "in_channels",
    "out_channels",
    "inference_padding",
    "cond_channels",
    "conv_post_bias",
)
_MEL_FIELDS = mel_fields("sample_rate n_fft hop_length win_length n_mel_channels mel_fmin mel_fmax")
_LAYERS = r"(conv_pre|conv_post|ups\.\d+|resblocks\.\d+\.convs[12]?\.\d+)\.conv"
_PADDING = 5


def recognizes(content: Content) -> bool:
    """Return whether the layers are wrapped in SpeechBrain's own convolution class."""
    return has_layer(content, "conv_pre.conv.")


def convert(source: ForeignCheckpoint) -> ImportedGenerator:
    """Read a generator and the hyperparams.yaml next to it."""
    content, path = source.read_config("hyperparams.yaml", "hparams.yaml", "train.yaml")
    values = {key: _resolve(value, content) for key, value in content.items()}
    network = values.get("generator")
    network = network if isinstance(network, dict) else values
    other_settings = None if network is values else _OTHER_SETTINGS
    generator = map_fields(network, GENERATOR_FIELDS, f"{path}: generator", other_settings)
    require_values(network, path, out_channels=1, cond_channels=0)
    require_values(values, path, mel_normalized=False, dynamic_range_compression=True)
    convention = {
        "center": True,
        "magnitude_epsilon": 0.0,
        "power": int(values.get("power", 1)),
        "mel_scale": values.get("mel_scale", "slaney"),
        "mel_norm": values.get("norm", "slaney") or "none",
    }
    variant = {
        "conv_padding": "reflect",
        "inference_padding": network.get("inference_padding", _PADDING),
    }
    mel = map_fields(values, _MEL_FIELDS, path)
    config = build_config(path, mel, generator, convention, variant)
    state = rename_weights(select_tensors(source.content), ((_LAYERS, r"\1"),))
    if not network.get("conv_post_bias", True):
        state = add_zero_biases(state)
    return ImportedGenerator(config, state)


def _resolve(value: Any, content: Content, depth: int = 0) -> Any:
    """Resolve references (`!ref <name>`) to other values of the document."""
    if depth > 10:
        raise ModelError("the references (!ref) of the configuration are circular")
    if isinstance(value, dict):
        return {key: _resolve(item, content, depth + 1) for key, item in value.items()}
    if isinstance(value, str) and (match := re.fullmatch(r"<(\w+)>", value)):
        return _resolve(content.get(match[1]), content, depth + 1)
    return value
