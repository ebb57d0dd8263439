"""ESPnet: the vocoder within a joint model of text to speech, at `tts.generator.vocoder.`.

The configuration is the config.yaml of the training. Where the features were normalised, the
statistics are in the checkpoint.
"""

from __future__ import annotations

from typing import Any

from hifigan_cli.errors import ModelError
from hifigan_cli.importers.checkpoint import Content, ForeignCheckpoint, Imported
from hifigan_cli.importers.families.parallel_wavegan import CONVENTION, read_network
from hifigan_cli.importers.settings import fixed, mel_fields, pick, section, vocoder
from hifigan_cli.importers.weights import has_layer, scaling, tensors

NAME = "ESPnet"
_PREFIX = "tts.generator.vocoder."
_MEL_FIELDS = mel_fields("fs n_fft hop_length - n_mels fmin fmax")
_DEFAULTS = {"n_mels": 80, "fmin": 80, "fmax": 7600}


def recognizes(content: Content) -> bool:
    """Tell a joint model by the place of its vocoder."""
    return has_layer(content, _PREFIX)


def convert(source: ForeignCheckpoint) -> Imported:
    """Read the vocoder of a joint model and its config.yaml."""
    content, path = source.document("config.yaml", "config.yml")
    fixed(content, path, feats_extract="fbank")
    features = section(content, "feats_extract_conf", where=path)
    fixed(features, path, window="hann", center=True, normalized=False, htk=False)
    mel = pick(_DEFAULTS | features, _MEL_FIELDS, path)
    mel["win_length"] = features.get("win_length") or mel["n_fft"]
    mel["fmin"] = mel["fmin"] or 0.0
    base = features.get("log_base", 10.0)
    if base not in (10, None):
        raise ModelError(f"{path}: a logarithm of base {base} cannot be imported")
    # They hold the power spectrum above 1e-10, which is as good as adding it.
    log = "ln" if base is None else "log10"
    convention = {**CONVENTION, "magnitude_epsilon": 1e-10, "log": log}
    tts = section(content, "tts_conf", where=path)
    fixed(tts, path, vocoder_type="hifigan_generator")
    params = section(tts, "vocoder_params", where=path)
    network, state = read_network(params, tensors(source.content, _PREFIX), path)
    variant: dict[str, Any] = {"slope": network.pop("slope")}
    if "normalize.mean" in source.content:
        std = source.content.get("normalize.std")
        variant |= scaling(source.content["normalize.mean"], std, source.path)
    elif content.get("normalize"):
        raise ModelError(f"{path} names a normalisation whose statistics the checkpoint lacks")
    return Imported(vocoder(path, mel, network, convention, variant), state)
