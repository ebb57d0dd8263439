"""Official checkpoints (jik876/hifi-gan), and those of the many tools that kept their format.

`g_XXXXXXXX` or `generator_*` holds `{'generator': state}`, or the state alone; the architecture and
the mel are in a config.json beside it. A state may be that of DataParallel, and some trainings keep
an average of the weights beside them. `do_XXXXXXXX` holds the discriminators, for a warm start.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hifigan_cli.errors import ModelError
from hifigan_cli.importers.families.checkpoint import Content, ForeignCheckpoint, Imported
from hifigan_cli.importers.families.settings import pick, vocoder
from hifigan_cli.importers.families.weights import rename, tensors
from hifigan_cli.importers.foreign_files import load_tensors_only
from hifigan_cli.models import MultiPeriodDiscriminator, MultiScaleDiscriminator
from hifigan_cli.models.shapes import check_fit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from hifigan_cli.config import VocoderConfig

NAME = "official"
# Ours -> theirs. What is not listed belongs to their training.
GENERATOR_FIELDS = {
    name: name
    for name in (
        "resblock",
        "upsample_rates",
        "upsample_kernel_sizes",
        "upsample_initial_channel",
        "resblock_kernel_sizes",
        "resblock_dilation_sizes",
    )
}
_MEL_FIELDS = {
    "rate_hz": "sampling_rate",
    "n_fft": "n_fft",
    "hop_samples": "hop_size",
    "win_samples": "win_size",
    "n_mels": "num_mels",
    "fmin_hz": "fmin",
    "fmax_hz": "fmax",
}
_AVERAGES = ("generator_ema", "gen_ema", "ema_generator", "ema")

# Weight norm and spectral norm, before and after torch's parametrizations.
_WEIGHT_NORM = (
    (r"\.weight_g$", ".parametrizations.weight.original0"),
    (r"\.weight_v$", ".parametrizations.weight.original1"),
)
_SPECTRAL_NORM = (
    (r"\.weight_orig$", ".parametrizations.weight.original"),
    (r"\.weight_u$", ".parametrizations.weight.0._u"),
    (r"\.weight_v$", ".parametrizations.weight.0._v"),
)


def recognizes(content: Content) -> bool:
    """Tell a state under `generator`, or a bare one of the official names."""
    state = content.get("generator", content)
    names = state if isinstance(state, dict) else ()
    return any(key.removeprefix("module.").startswith("conv_pre.") for key in names)


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
    found = pick(content, GENERATOR_FIELDS | _MEL_FIELDS, where)
    mel, generator = ({k: found[k] for k in part} for part in (_MEL_FIELDS, GENERATOR_FIELDS))
    return vocoder(where, mel, generator)


def read_discriminators(path: Path) -> dict[str, Tensor]:
    """Read `mpd` and `msd` of an official do_XXXXXXXX file, under our parameter names.

    Raises:
        ModelError: unreadable, or of other networks.
    """
    content = load_tensors_only(path)
    found: dict[str, Tensor] = {}
    for name, net in (("mpd", MultiPeriodDiscriminator()), ("msd", MultiScaleDiscriminator())):
        state = tensors(content.get(name))
        spectral = {key for key in state if (key.rpartition(".")[0] + ".weight_orig") in state}
        first = {_renamed(key, _SPECTRAL_NORM): state[key] for key in spectral}
        rest = {_renamed(key, _WEIGHT_NORM): state[key] for key in state.keys() - spectral}
        check_fit(net.state_dict(), first | rest)
        found |= {f"{name}.{key}": value for key, value in (first | rest).items()}
    return found


def _renamed(key: str, rules: tuple[tuple[str, str], ...]) -> str:
    for old, new in rules:
        key = re.sub(old, new, key)
    return key
