"""SpeechBrain: an official network whose convolutions reflect at their ends.

The generator's state is a file of its own; hyperparams.yaml beside it is HyperPyYAML, whose
references are followed and whose objects are not made. At inference five copies of the first and
of the last frame are put around the mel.
"""

from __future__ import annotations

import re
from typing import Any

from hifigan_cli.errors import ModelError
from hifigan_cli.importers.checkpoint import Content, ForeignCheckpoint, Imported
from hifigan_cli.importers.families.coqui import GENERATOR
from hifigan_cli.importers.settings import fixed, mel_fields, pick, vocoder
from hifigan_cli.importers.weights import has_layer, rename, tensors, with_biases

NAME = "SpeechBrain"
_OTHERS = ("in_channels", "out_channels", "inference_padding", "cond_channels", "conv_post_bias")
_MEL_FIELDS = mel_fields("sample_rate n_fft hop_length win_length n_mel_channels mel_fmin mel_fmax")
_LAYERS = r"(conv_pre|conv_post|ups\.\d+|resblocks\.\d+\.convs[12]?\.\d+)\.conv"
_PADDING = 5


def recognizes(content: Content) -> bool:
    """Tell layers that are wrapped in one of their own."""
    return has_layer(content, "conv_pre.conv.")


def convert(source: ForeignCheckpoint) -> Imported:
    """Read a generator's state and the hyperparams.yaml beside it."""
    content, path = source.document("hyperparams.yaml", "hparams.yaml", "train.yaml")
    values = {key: _resolve(value, content) for key, value in content.items()}
    network = values.get("generator")
    network = network if isinstance(network, dict) else values
    others = None if network is values else _OTHERS
    generator = pick(network, GENERATOR, f"{path}: generator", others)
    fixed(network, path, out_channels=1, cond_channels=0)
    fixed(values, path, mel_normalized=False, dynamic_range_compression=True)
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
    mel = pick(values, _MEL_FIELDS, path)
    described = vocoder(path, mel, generator, convention, variant)
    state = rename(tensors(source.content), ((_LAYERS, r"\1"),))
    if not network.get("conv_post_bias", True):
        state = with_biases(state)
    return Imported(described, state)


def _resolve(value: Any, content: Content, depth: int = 0) -> Any:
    """Follow references (`!ref <name>`) to other values of the document."""
    if depth > 10:
        raise ModelError("the references of the configuration go in circles")
    if isinstance(value, dict):
        return {key: _resolve(each, content, depth + 1) for key, each in value.items()}
    if isinstance(value, str) and (found := re.fullmatch(r"<(\w+)>", value)):
        return _resolve(content.get(found[1]), content, depth + 1)
    return value
