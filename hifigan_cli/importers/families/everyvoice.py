"""EveryVoice: Lightning checkpoints that contain their configuration.

`state_dict` has the generator at `generator.`, and `hyper_parameters.config` has all settings. The
mel is centered and otherwise the official one, unless `spec_type` names another.
"""

from __future__ import annotations

from typing import Any

from hifigan_cli.errors import ModelError
from hifigan_cli.importers.checkpoint import Content, ForeignCheckpoint, ImportedGenerator
from hifigan_cli.importers.settings import (
    GENERATOR_FIELDS,
    build_config,
    get_section,
    map_fields,
    mel_fields,
    require_values,
)
from hifigan_cli.importers.weights import rename_weights, select_tensors

NAME = "EveryVoice"
_MEL_FIELDS = mel_fields(
    "input_sampling_rate n_fft fft_hop_size fft_window_size n_mels f_min f_max"
)
_OTHER_SETTINGS = ("activation_function", "istft_layer", "msd_layers", "mpd_layers")
_CONVENTIONS: dict[str, dict[str, Any]] = {
    "mel-librosa": {"center": True},
    "mel": {"center": True, "magnitude_epsilon": 0.0, "power": 2, "mel_scale": "htk"},
}
# By the function names in the serialized configuration.
_SLOPES = {"original_hifigan_leaky_relu": 0.1, "leaky_relu": 0.01}


def recognizes(content: Content) -> bool:
    """Return whether this is a Lightning checkpoint with a configuration."""
    hyper = content.get("hyper_parameters")
    return isinstance(hyper, dict) and "config" in hyper and "state_dict" in content


def convert(source: ForeignCheckpoint) -> ImportedGenerator:
    """Read the generator and its configuration."""
    where = source.path
    config = get_section(source.content, "hyper_parameters", "config", where=where)
    model = get_section(config, "model", where=where)
    audio = get_section(config, "preprocessing", "audio", where=where)
    generator = map_fields(model, GENERATOR_FIELDS, f"{where}: model", _OTHER_SETTINGS)
    require_values(model, where, istft_layer=False)
    sample_rate = audio.get("input_sampling_rate")
    if audio.get("output_sampling_rate", sample_rate) != sample_rate:
        raise ModelError(f"{where}: output_sampling_rate differs from input_sampling_rate")
    activation = str(model.get("activation_function", "original_hifigan_leaky_relu"))
    slope = _SLOPES.get(activation.rpartition(".")[2])
    if slope is None:
        raise ModelError(f"{where}: activation_function {activation} is not supported")
    spec_type = audio.get("spec_type", "mel-librosa")
    if spec_type not in _CONVENTIONS:
        raise ModelError(f"{where}: spec_type {spec_type} is not supported")
    mel = map_fields(audio, _MEL_FIELDS, where)
    vocoder = build_config(where, mel, generator, _CONVENTIONS[spec_type], {"slope": slope})
    state = select_tensors(source.content["state_dict"], "generator.")
    return ImportedGenerator(vocoder, rename_weights(state))
