"""Official checkpoints (jik876/hifi-gan), and those of the many tools that kept their format.

`g_XXXXXXXX` or `generator_*` holds `{'generator': state}`, or the state alone; the architecture and
the mel are in a config.json beside it. A state may be that of DataParallel, and some trainings keep
an average of the weights beside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hifigan_cli.errors import ModelError
from hifigan_cli.importers.families.base import Content, Imported, Source
from hifigan_cli.importers.families.keys import pick, rename, tensors, vocoder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hifigan_cli.config import VocoderConfig

NAME = "official"
GENERATOR_FIELDS = (
    "resblock",
    "upsample_rates",
    "upsample_kernel_sizes",
    "upsample_initial_channel",
    "resblock_kernel_sizes",
    "resblock_dilation_sizes",
)
# Ours -> theirs. What is not listed belongs to their training.
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


def recognises(content: Content) -> bool:
    """Tell a state under `generator`, or a bare one of the official names."""
    state = content.get("generator", content)
    names = state if isinstance(state, dict) else ()
    return any(key.removeprefix("module.").startswith("conv_pre.") for key in names)


def convert(source: Source) -> Imported:
    """Read an official checkpoint and its config.json.

    Raises:
        ModelError: without a config, or it does not describe a generator.
    """
    content, where = source.document("config.json")
    return Imported(describe(content, where), rename(tensors(weights(source))))


def weights(source: Source) -> object:
    """Return the state of the generator, or of its average where that is asked for.

    Raises:
        ModelError: there is no average.
    """
    if not source.average:
        return source.content.get("generator", source.content)
    for name in _AVERAGES:
        if isinstance(source.content.get(name), dict):
            return source.content[name]
    raise ModelError(
        f"{source.checkpoint} has no averaged weights", f"looked for {', '.join(_AVERAGES)}"
    )


def describe(content: Mapping[str, Any], where: object) -> VocoderConfig:
    """Read an official configuration.

    Raises:
        ModelError: names what is missing or impossible.
    """
    fields = {name: name for name in GENERATOR_FIELDS}
    pick(content, fields | _MEL_FIELDS, where)
    return vocoder(where, pick(content, _MEL_FIELDS, where), pick(content, fields, where))
