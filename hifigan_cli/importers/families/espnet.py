"""ESPnet: the vocoder within a joint text-to-speech model, at `tts.generator.vocoder.`.

The configuration is the config.yaml of the training. If the features are normalized, the
statistics are in the checkpoint.
"""

from __future__ import annotations

from typing import Any

from hifigan_cli.errors import ModelError
from hifigan_cli.importers.checkpoint import Content, ForeignCheckpoint, ImportedGenerator
from hifigan_cli.importers.families.parallel_wavegan import MEL_CONVENTION, read_network
from hifigan_cli.importers.settings import (
    build_config,
    get_section,
    map_fields,
    mel_fields,
    require_values,
)
from hifigan_cli.importers.weights import has_layer, input_normalization, select_tensors

NAME = "ESPnet"
_PREFIX = "tts.generator.vocoder."
_MEL_FIELDS = mel_fields("fs n_fft hop_length - n_mels fmin fmax")
_DEFAULTS = {"n_mels": 80, "fmin": 80, "fmax": 7600}


def recognizes(content: Content) -> bool:
    """Return whether this is a joint model with a vocoder."""
    return has_layer(content, _PREFIX)


def convert(source: ForeignCheckpoint) -> ImportedGenerator:
    """Read the vocoder of a joint model and its config.yaml."""
    content, path = source.read_config("config.yaml", "config.yml")
    require_values(content, path, feats_extract="fbank")
    features = get_section(content, "feats_extract_conf", where=path)
    require_values(features, path, window="hann", center=True, normalized=False, htk=False)
    mel = map_fields(_DEFAULTS | features, _MEL_FIELDS, path)
    mel["win_length"] = features.get("win_length") or mel["n_fft"]
    mel["fmin"] = mel["fmin"] or 0.0
    base = features.get("log_base", 10.0)
    if base not in (10, None):
        raise ModelError(f"{path}: log_base {base} is not supported")
    # ESPnet clamps the power spectrum to 1e-10; adding 1e-10 is equivalent in practice.
    log = "ln" if base is None else "log10"
    convention = {**MEL_CONVENTION, "magnitude_epsilon": 1e-10, "log": log}
    tts = get_section(content, "tts_conf", where=path)
    require_values(tts, path, vocoder_type="hifigan_generator")
    params = get_section(tts, "vocoder_params", where=path)
    network, state = read_network(params, select_tensors(source.content, _PREFIX), path)
    variant: dict[str, Any] = {"slope": network.pop("slope")}
    if "normalize.mean" in source.content:
        std = source.content.get("normalize.std")
        variant |= input_normalization(source.content["normalize.mean"], std, source.path)
    elif content.get("normalize"):
        raise ModelError(f"{path} has normalize, but the checkpoint has no statistics for it")
    return ImportedGenerator(build_config(path, mel, network, convention, variant), state)
