"""Official checkpoints (jik876/hifi-gan), and those of the many tools with the same format.

`g_XXXXXXXX` or `generator_*` contains `{'generator': state}` or a bare state dict; the architecture
and the mel are in the config.json next to it. The state may come from DataParallel, and some
trainings add averaged weights (EMA). `do_XXXXXXXX` contains the discriminators, for a warm start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hifigan_cli.config.files import OFFICIAL_MEL_KEYS
from hifigan_cli.errors import ModelError
from hifigan_cli.importers.checkpoint import Content, ForeignCheckpoint, ImportedGenerator
from hifigan_cli.importers.foreign_files import load_tensors_only
from hifigan_cli.importers.settings import GENERATOR_FIELDS, build_config, map_fields
from hifigan_cli.importers.weights import has_layer, rename_weights, select_tensors
from hifigan_cli.models import MultiPeriodDiscriminator, MultiScaleDiscriminator
from hifigan_cli.models.shapes import check_same_shapes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from hifigan_cli.config import VocoderConfig

NAME = "official"
_MEL_FIELDS = {field: key for key, field in OFFICIAL_MEL_KEYS.items()}
_EMA_KEYS = ("generator_ema", "gen_ema", "ema_generator", "ema")

# Parameters of weight norm and spectral norm, in torch's old form and as parametrizations.
_WEIGHT_NORM = {
    "weight_g": "parametrizations.weight.original0",
    "weight_v": "parametrizations.weight.original1",
}
_SPECTRAL_NORM = {
    "weight_orig": "parametrizations.weight.original",
    "weight_u": "parametrizations.weight.0._u",
    "weight_v": "parametrizations.weight.0._v",
}


def recognizes(content: Content) -> bool:
    """Return whether `generator`, or the content itself, has the official names."""
    return has_layer(content.get("generator", content), "conv_pre.")


def convert(source: ForeignCheckpoint) -> ImportedGenerator:
    """Read an official checkpoint and its config.json."""
    content, where = source.read_config("config.json")
    state = select_tensors(select_generator_state(source))
    return ImportedGenerator(parse_config(content, where), rename_weights(state))


def select_generator_state(source: ForeignCheckpoint) -> object:
    """Return the state dict of the generator, or of its averaged weights if `source.ema`.

    Raises:
        ModelError: if there are no averaged weights.
    """
    if not source.ema:
        return source.content.get("generator", source.content)
    for name in _EMA_KEYS:
        if isinstance(source.content.get(name), dict):
            return source.content[name]
    raise ModelError(f"{source.path} has no averaged weights", f"expected: {', '.join(_EMA_KEYS)}")


def parse_config(content: Mapping[str, Any], where: object) -> VocoderConfig:
    """Read an official configuration.

    Raises:
        ModelError: if a value is missing or invalid.
    """
    generator = map_fields(content, GENERATOR_FIELDS, where)
    return build_config(where, map_fields(content, _MEL_FIELDS, where), generator)


def read_discriminators(path: Path) -> dict[str, Tensor]:
    """Read `mpd` and `msd` of an official do_XXXXXXXX file, under the current parameter names.

    Raises:
        ModelError: if the file is unreadable, or the weights do not fit the discriminators.
    """
    content = load_tensors_only(path)
    weights: dict[str, Tensor] = {}
    for name, net in (("mpd", MultiPeriodDiscriminator()), ("msd", MultiScaleDiscriminator())):
        state = select_tensors(content.get(name))
        renamed: dict[str, Tensor] = {}
        for key, value in state.items():
            layer, _, parameter = key.rpartition(".")
            names = _SPECTRAL_NORM if f"{layer}.weight_orig" in state else _WEIGHT_NORM
            renamed[f"{layer}.{names.get(parameter, parameter)}"] = value
        check_same_shapes(net.state_dict(), renamed)
        weights |= {f"{name}.{key}": value for key, value in renamed.items()}
    return weights
