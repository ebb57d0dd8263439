"""EveryVoice: Lightning checkpoints that carry their configuration.

`state_dict` has the generator at `generator.`, `hyper_parameters.config` all settings. The mel is
centred, and otherwise the official one, unless its `spec_type` says another.
"""

from __future__ import annotations

from typing import Any

from hifigan_cli.errors import ModelError
from hifigan_cli.importers.checkpoint import Content, ForeignCheckpoint, Imported
from hifigan_cli.importers.settings import GENERATOR, fixed, mel_fields, pick, section, vocoder
from hifigan_cli.importers.weights import rename, tensors

NAME = "EveryVoice"
_MEL_FIELDS = mel_fields(
    "input_sampling_rate n_fft fft_hop_size fft_window_size n_mels f_min f_max"
)
_OTHERS = ("activation_function", "istft_layer", "msd_layers", "mpd_layers")
_CONVENTIONS: dict[str, dict[str, Any]] = {
    "mel-librosa": {"center": True},
    "mel": {"center": True, "magnitude_epsilon": 0.0, "power": 2, "mel_scale": "htk"},
}
# By the names that their configuration serialises functions to.
_SLOPES = {"original_hifigan_leaky_relu": 0.1, "leaky_relu": 0.01}


def recognizes(content: Content) -> bool:
    """Tell a Lightning checkpoint with a vocoder's configuration."""
    hyper = content.get("hyper_parameters")
    return isinstance(hyper, dict) and "config" in hyper and "state_dict" in content


def convert(source: ForeignCheckpoint) -> Imported:
    """Read the generator of a checkpoint."""
    where = source.path
    config = section(source.content, "hyper_parameters", "config", where=where)
    model = section(config, "model", where=where)
    audio = section(config, "preprocessing", "audio", where=where)
    generator = pick(model, GENERATOR, f"{where}: model", _OTHERS)
    fixed(model, where, istft_layer=False)
    sample_rate = audio.get("input_sampling_rate")
    if audio.get("output_sampling_rate", sample_rate) != sample_rate:
        raise ModelError(f"{where}: a mel of another rate than the speech cannot be imported")
    activation = str(model.get("activation_function", "original_hifigan_leaky_relu"))
    slope = _SLOPES.get(activation.rpartition(".")[2])
    if slope is None:
        raise ModelError(f"{where}: an activation_function {activation} cannot be imported")
    kind = audio.get("spec_type", "mel-librosa")
    if kind not in _CONVENTIONS:
        raise ModelError(f"{where}: a spec_type {kind} cannot be imported")
    mel = pick(audio, _MEL_FIELDS, where)
    described = vocoder(where, mel, generator, _CONVENTIONS[kind], {"slope": slope})
    return Imported(described, rename(tensors(source.content["state_dict"], "generator.")))
