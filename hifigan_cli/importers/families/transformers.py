"""Transformers: SpeechT5HifiGan, and FastSpeech2ConformerHifiGan, which is the same network.

model.safetensors or pytorch_model.bin, folded, with the mel's `mean` and `scale` among the weights;
config.json beside it. The mel is the one that SpeechT5's feature extractor makes, whose
preprocessor_config.json is heeded where it is there.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hifigan_cli.errors import ModelError
from hifigan_cli.importers.checkpoint import Content, ForeignCheckpoint, Imported
from hifigan_cli.importers.foreign_files import read_document
from hifigan_cli.importers.settings import GENERATOR, pick, vocoder
from hifigan_cli.importers.weights import OFFICIAL, has_layer, rename, scaling, tensors

if TYPE_CHECKING:
    from pathlib import Path

NAME = "Transformers"
_TYPES = ("speecht5_hifigan", "hifigan", "fastspeech2_conformer_hifigan")
_GENERATOR = {name: name for name in GENERATOR if name != "resblock"}
_CONVENTION = {"center": True, "magnitude_epsilon": 0.0, "log": "log10"}
_EXTRACTOR: dict[str, Any] = {"win_length": 64, "fmin": 80, "fmax": 7600, "mel_floor": 1e-10}
_WINDOW = 1024


def recognizes(content: Content) -> bool:
    """Tell the name of their upsampling layers."""
    return has_layer(content, "upsampler.")


def convert(source: ForeignCheckpoint) -> Imported:
    """Read a vocoder's weights and the config.json beside them."""
    content, path = source.document("config.json")
    if content.get("model_type", _TYPES[0]) not in _TYPES:
        raise ModelError(f"{path} is of a {content['model_type']}, not a HiFi-GAN")
    network = pick(content, _GENERATOR, path)
    named = pick(content, {"sample_rate": "sampling_rate", "n_mels": "model_in_dim"}, path)
    mel, floor = _mel(source, named, path, network["upsample_rates"])
    state = tensors(source.content)
    mean, scale = state.pop("mean", None), state.pop("scale", None)
    variant: dict[str, Any] = {"slope": content.get("leaky_relu_slope", 0.1)}
    if content.get("normalize_before", True):
        variant |= scaling(mean, scale, source.path)
    convention = {**_CONVENTION, "floor": floor}
    rules = ((r"upsampler\.(\d+)", r"ups.\1"), *OFFICIAL)
    described = vocoder(path, mel, {"resblock": 1, **network}, convention, variant)
    return Imported(described, rename(state, rules))


def _mel(
    source: ForeignCheckpoint, named: dict[str, Any], path: Path, rates: Any
) -> tuple[dict[str, Any], float]:
    """Return the sizes of the mel, and its floor."""
    beside = source.sibling("preprocessor_config.json")
    told = read_document(beside) if beside.is_file() else {}
    extractor = _EXTRACTOR | {key: told[key] for key in _EXTRACTOR if key in told}
    try:
        win = round(extractor["win_length"] * named["sample_rate"] / 1000) if told else _WINDOW
        n_fft = 2 ** math.ceil(math.log2(win))
        sizes = {"hop_length": math.prod(rates), "win_length": win, "n_fft": n_fft}
    except (TypeError, ValueError) as error:
        raise ModelError(f"{path} does not describe a generator: {error}") from error
    band = {"fmin": extractor["fmin"], "fmax": extractor["fmax"]}
    return {**named, **sizes, **band}, extractor["mel_floor"]
