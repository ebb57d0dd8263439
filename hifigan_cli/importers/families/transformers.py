"""Transformers: SpeechT5HifiGan, and FastSpeech2ConformerHifiGan, which is the same network.

The weights are in model.safetensors or pytorch_model.bin, without weight norm and with the mel's
`mean` and `scale`; the config.json is next to them. The mel is that of SpeechT5's feature
extractor; its preprocessor_config.json is read if it exists.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hifigan_cli.errors import ModelError
from hifigan_cli.importers.checkpoint import Content, ForeignCheckpoint, ImportedGenerator
from hifigan_cli.importers.foreign_files import read_document
from hifigan_cli.importers.settings import GENERATOR_FIELDS, build_config, map_fields
from hifigan_cli.importers.weights import (
    OFFICIAL_RULES,
    has_layer,
    input_normalization,
    rename_weights,
    select_tensors,
)

if TYPE_CHECKING:
    from pathlib import Path

NAME = "Transformers"
_TYPES = ("speecht5_hifigan", "hifigan", "fastspeech2_conformer_hifigan")
_GENERATOR = {name: name for name in GENERATOR_FIELDS if name != "resblock"}
_CONVENTION = {"center": True, "magnitude_epsilon": 0.0, "log": "log10"}
_EXTRACTOR: dict[str, Any] = {"win_length": 64, "fmin": 80, "fmax": 7600, "mel_floor": 1e-10}
_WINDOW = 1024


def recognizes(content: Content) -> bool:
    """Return whether the upsampling layers have the name that Transformers uses."""
    return has_layer(content, "upsampler.")


def convert(source: ForeignCheckpoint) -> ImportedGenerator:
    """Read a vocoder's weights and the config.json next to them."""
    content, path = source.read_config("config.json")
    if content.get("model_type", _TYPES[0]) not in _TYPES:
        raise ModelError(f"{path} has model_type {content['model_type']}, which is not a HiFi-GAN")
    network = map_fields(content, _GENERATOR, path)
    basic = map_fields(content, {"sample_rate": "sampling_rate", "n_mels": "model_in_dim"}, path)
    mel, floor = _mel(source, basic, path, network["upsample_rates"])
    state = select_tensors(source.content)
    mean, scale = state.pop("mean", None), state.pop("scale", None)
    variant: dict[str, Any] = {"slope": content.get("leaky_relu_slope", 0.1)}
    if content.get("normalize_before", True):
        variant |= input_normalization(mean, scale, source.path)
    convention = {**_CONVENTION, "floor": floor}
    rules = ((r"upsampler\.(\d+)", r"ups.\1"), *OFFICIAL_RULES)
    config = build_config(path, mel, {"resblock": 1, **network}, convention, variant)
    return ImportedGenerator(config, rename_weights(state, rules))


def _mel(
    source: ForeignCheckpoint, basic: dict[str, Any], path: Path, rates: Any
) -> tuple[dict[str, Any], float]:
    """Return the sizes and the floor of the mel."""
    extractor_path = source.sibling("preprocessor_config.json")
    settings = read_document(extractor_path) if extractor_path.is_file() else {}
    extractor = _EXTRACTOR | {key: settings[key] for key in _EXTRACTOR if key in settings}
    try:
        win = round(extractor["win_length"] * basic["sample_rate"] / 1000) if settings else _WINDOW
        n_fft = 2 ** math.ceil(math.log2(win))
        sizes = {"hop_length": math.prod(rates), "win_length": win, "n_fft": n_fft}
    except (TypeError, ValueError) as error:
        raise ModelError(f"{path} does not describe a generator: {error}") from error
    band = {"fmin": extractor["fmin"], "fmax": extractor["fmax"]}
    return {**basic, **sizes, **band}, extractor["mel_floor"]
