"""Import of official checkpoints (jik876/hifi-gan) and of the many tools that kept its format.

`g_XXXXXXXX` or `generator_*` holds `{'generator': state}` with weight norm as `weight_g` and
`weight_v`; the architecture and the mel convention are in a config.json beside it. `do_XXXXXXXX`
holds the discriminators, which a warm start can use. Pickles are read as plain tensors only.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import torch
from pydantic import ValidationError

from hifigan_cli.audio.files import is_file
from hifigan_cli.config import GeneratorConfig, MelConfig, VocoderConfig
from hifigan_cli.errors import ModelError
from hifigan_cli.models import (
    Generator,
    ModelFile,
    MultiPeriodDiscriminator,
    MultiScaleDiscriminator,
)
from hifigan_cli.models.norms import folded
from hifigan_cli.models.shapes import check_fit
from hifigan_cli.models.tensorfile import arrays_of, check_readable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

# Official config.json -> ours. What is not listed belongs to their training.
_MEL_FIELDS = {
    "rate_hz": "sampling_rate",
    "n_fft": "n_fft",
    "hop_samples": "hop_size",
    "win_samples": "win_size",
    "n_mels": "num_mels",
    "fmin_hz": "fmin",
    "fmax_hz": "fmax",
}
# Parameter names: weight norm and spectral norm, before and after torch's parametrizations.
_RENAMED = (
    (r"\.weight_g$", ".parametrizations.weight.original0"),
    (r"\.weight_v$", ".parametrizations.weight.original1"),
)
_RENAMED_SPECTRAL = (
    (r"\.weight_orig$", ".parametrizations.weight.original"),
    (r"\.weight_u$", ".parametrizations.weight.0._u"),
    (r"\.weight_v$", ".parametrizations.weight.0._v"),
)
_PARITY = 1e-5
_TEST_FRAMES = 24


def import_official(
    checkpoint: Path,
    config: Path | None = None,
    discriminators: Path | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> tuple[ModelFile, float]:
    """Read an official generator; return it folded, and how far folding moved its output.

    `config` defaults to the config.json beside the checkpoint.

    Raises:
        ModelError: unreadable, without a config, or not of the architecture that it describes.
    """
    architecture = read_config(config or checkpoint.with_name("config.json"))
    content = load_tensors_only(checkpoint)
    state = _rename(_tensors(content.get("generator", content)), _RENAMED)
    error = _folding_error(architecture, state, checkpoint)
    others = _discriminators(discriminators) if discriminators else {}
    model = ModelFile(
        architecture.mel,
        architecture.generator,
        arrays_of(folded(state)),
        arrays_of(others),
        dict(provenance or {}),
    )
    return model, error


def read_config(path: Path) -> VocoderConfig:
    """Read an official config.json.

    Raises:
        ModelError: missing, not JSON, or an architecture that cannot be.
    """
    check_config_exists(path)
    try:
        content = json.loads(path.read_text("utf-8"))
        missing = [key for key in GeneratorConfig.model_fields if key not in content]
        missing += [theirs for theirs in _MEL_FIELDS.values() if theirs not in content]
        if missing:
            raise ModelError(f"{path} does not give {', '.join(missing)}")
        mel = {ours: content[theirs] for ours, theirs in _MEL_FIELDS.items()}
        fields = {key: content[key] for key in GeneratorConfig.model_fields}
        return VocoderConfig(mel=MelConfig(**mel), generator=GeneratorConfig(**fields))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise ModelError(f"{path} does not describe a generator: {reason}") from error


def check_config_exists(path: Path) -> None:
    """Check that there is a configuration to read.

    Raises:
        ModelError: there is none; strides and dilations cannot be read from weights.
    """
    if not is_file(path):
        raise ModelError(
            f"no configuration at {path}",
            "--config names the config.json of the checkpoint; weights alone do not tell strides",
        )


def load_tensors_only(path: Path) -> dict[str, Any]:
    """Load a PyTorch file without running anything that is pickled in it.

    Raises:
        ModelError: unreadable, or it holds more than tensors and plain values.
    """
    check_readable(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        summary = str(error).partition("\n")[0][:200]
        raise ModelError(
            f"{path} is not a PyTorch checkpoint of plain tensors: {summary}",
            "files that hold code are never loaded",
        ) from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds a {type(content).__name__}, not a checkpoint")
    return content


def _tensors(state: object) -> dict[str, Tensor]:
    """Take the tensors of a state, without the prefix that DataParallel leaves."""
    if not isinstance(state, dict):
        raise ModelError("the checkpoint's generator is not a state of named tensors")
    return {
        str(key).removeprefix("module."): value
        for key, value in state.items()
        if isinstance(value, torch.Tensor)
    }


def _rename(state: Mapping[str, Tensor], rules: tuple[tuple[str, str], ...]) -> dict[str, Tensor]:
    renamed = {}
    for key, value in state.items():
        name = key
        for old, new in rules:
            name = re.sub(old, new, name)
        renamed[name] = value
    return renamed


def _folding_error(config: VocoderConfig, state: Mapping[str, Tensor], path: Path) -> float:
    """Run the generator with its weight norm and with folded weights; return their difference.

    Weights that come folded already have nothing to compare, and must only fit.

    Raises:
        ModelError: the weights do not fit the configuration, or the two disagree.
    """
    plain = ModelFile(config.mel, config.generator, arrays_of(folded(state))).build()
    if not any(".parametrizations." in key for key in state):
        return 0.0
    normed = Generator(config.generator, config.mel.n_mels)
    check_fit(normed.state_dict(), state)
    normed.load_state_dict(dict(state))
    random = torch.Generator().manual_seed(0)
    mel = torch.randn(1, config.mel.n_mels, _TEST_FRAMES, generator=random) - 5
    with torch.no_grad():
        error = float((normed(mel) - plain(mel)).abs().max())
    if not error < _PARITY:
        raise ModelError(f"{path}: folding weight norm changed the output by {error:.1e}")
    return error


def _discriminators(path: Path) -> dict[str, Tensor]:
    """Read `mpd` and `msd` of an official do_XXXXXXXX file, under our parameter names."""
    content = load_tensors_only(path)
    tensors: dict[str, Tensor] = {}
    for name, net in (("mpd", MultiPeriodDiscriminator()), ("msd", MultiScaleDiscriminator())):
        state = _tensors(content.get(name))
        spectral = {key for key in state if (key.rpartition(".")[0] + ".weight_orig") in state}
        first = _rename({key: state[key] for key in spectral}, _RENAMED_SPECTRAL)
        rest = _rename({key: state[key] for key in state.keys() - spectral}, _RENAMED)
        check_fit(net.state_dict(), first | rest)
        tensors |= {f"{name}.{key}": value for key, value in (first | rest).items()}
    return tensors
