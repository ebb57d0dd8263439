"""Official checkpoints (jik876/hifi-gan), and those of the many tools that kept their format.

`g_XXXXXXXX` or `generator_*` holds `{'generator': state}`, or the state alone; the architecture and
the mel are in a config.json beside it. A state may be that of DataParallel, and some trainings keep
an average of the weights beside them. `do_XXXXXXXX` holds the discriminators, for a warm start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hifigan_cli.errors import ModelError
from hifigan_cli.importers.checkpoint import Content, ForeignCheckpoint, Imported
from hifigan_cli.importers.foreign_files import load_tensors_only
from hifigan_cli.importers.settings import GENERATOR, mel_fields, pick, vocoder
from hifigan_cli.importers.weights import has_layer, rename, tensors
from hifigan_cli.models import MultiPeriodDiscriminator, MultiScaleDiscriminator
from hifigan_cli.models.shapes import check_fit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from hifigan_cli.config import VocoderConfig

NAME = "official"
_MEL_FIELDS = mel_fields("sampling_rate n_fft hop_size win_size num_mels fmin fmax")
_AVERAGES = ("generator_ema", "gen_ema", "ema_generator", "ema")

# Weight norm and spectral norm, before and after torch's parametrizations.
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
    """Tell a state under `generator`, or a bare one of the official names."""
    return has_layer(content.get("generator", content), "conv_pre.")


def convert(source: ForeignCheckpoint) -> Imported:
    """Read an official checkpoint and its config.json."""
    content, where = source.document("config.json")
    return Imported(describe(content, where), rename(tensors(generator_state(source))))


def generator_state(source: ForeignCheckpoint) -> object:
    """Return the state of the generator, or of its average where that is asked for.

    Raises:
        ModelError: there is no average.
    """
    if not source.average:
        return source.content.get("generator", source.content)
    for name in _AVERAGES:
        if isinstance(source.content.get(name), dict):
            return source.content[name]
    raise ModelError(f"{source.path} has no averaged weights", f"looked for {', '.join(_AVERAGES)}")


def describe(content: Mapping[str, Any], where: object) -> VocoderConfig:
    """Read an official configuration.

    Raises:
        ModelError: names what is missing or impossible.
    """
    generator = pick(content, GENERATOR, where)
    return vocoder(where, pick(content, _MEL_FIELDS, where), generator)


def read_discriminators(path: Path) -> dict[str, Tensor]:
    """Read `mpd` and `msd` of an official do_XXXXXXXX file, under our parameter names.

    Raises:
        ModelError: unreadable, or of other networks.
    """
    content = load_tensors_only(path)
    found: dict[str, Tensor] = {}
    for name, net in (("mpd", MultiPeriodDiscriminator()), ("msd", MultiScaleDiscriminator())):
        state = tensors(content.get(name))
        renamed: dict[str, Tensor] = {}
        for key, value in state.items():
            layer, _, end = key.rpartition(".")
            names = _SPECTRAL_NORM if f"{layer}.weight_orig" in state else _WEIGHT_NORM
            renamed[f"{layer}.{names.get(end, end)}"] = value
        check_fit(net.state_dict(), renamed)
        found |= {f"{name}.{key}": value for key, value in renamed.items()}
    return found
