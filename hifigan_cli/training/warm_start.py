"""Start a run from the weights of another: `--init`.

A model file provides the generator, and the discriminators if it has them. A run folder, or one of
its checkpoints, provides all three networks. Optimizers, step and EMA start over.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from hifigan_cli.errors import ModelError
from hifigan_cli.importers.model_lookup import MODEL_CHOICES, locate_source, open_model
from hifigan_cli.io.files import is_file, is_folder
from hifigan_cli.io.tensor_file import read_description, tensors_of
from hifigan_cli.models.model_file import GENERATOR_PREFIX, ModelFile, read_model
from hifigan_cli.models.norms import fold_weight_norm, load_folded_weights
from hifigan_cli.models.shapes import check_same_shapes
from hifigan_cli.training.checkpoint import (
    Checkpoint,
    load_network,
    read_checkpoint,
    select_prefix,
)
from hifigan_cli.training.run_folder import RunFolder, newest_checkpoint
from hifigan_cli.training.state import VocoderState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hifigan_cli.config import Config


def read_source(name: str | Path, config: Config) -> Callable[[VocoderState], str]:
    """Read a model file, a checkpoint, or the newest checkpoint of a run folder.

    A pretrained name is read from its converted copy, which is converted again if it is damaged.

    Returns:
        A function that loads the networks into a state and returns a message about them.

    Raises:
        ModelError: the source is missing, damaged, or has another architecture.
    """
    path = locate_source(name)  # a run's folder: its model file has no discriminators
    content = _read(name, path)
    if isinstance(content, Checkpoint):
        saved = content.description["config"]
        mel, generator = saved["mel"], saved["generator"]
        # Old checkpoints without this key have the paper's width.
        width = saved["train"].get("discriminator_width", 1.0)
    else:
        mel, generator = (part.model_dump(mode="json") for part in (content.mel, content.generator))
        width = 1.0 if content.discriminators else config.train.discriminator_width
    _check_architecture(config, path, mel, generator)
    if width != config.train.discriminator_width:
        raise ModelError(
            f"{path} has train.discriminator_width = {width}, but this run has "
            f"{config.train.discriminator_width}",
            f"use --set discriminator_width={width}, or load only the generator of a run with "
            "--init RUN/model.safetensors",
        )
    return partial(_load, path, content)


def _load(path: Path, content: Checkpoint | ModelFile, state: VocoderState) -> str:
    if isinstance(content, Checkpoint):
        load_network(state.generator, content.select("generator."))
        discriminators = content.tensors
    else:
        check_same_shapes(fold_weight_norm(state.generator.state_dict()), content.weights)
        load_folded_weights(state.generator, tensors_of(content.weights))
        discriminators = tensors_of(content.discriminators)
    state.reset_ema()
    if not discriminators:
        return f"loaded the generator of {path}, which contains no discriminators"
    load_network(state.mpd, select_prefix(discriminators, "mpd."))
    load_network(state.msd, select_prefix(discriminators, "msd."))
    return f"loaded all networks of {path}"


def _read(name: str | Path, path: Path) -> Checkpoint | ModelFile:
    if not is_folder(path):
        if read_description(path).get("kind") == VocoderState.kind:
            return read_checkpoint(path)
        return open_model(name)
    run = RunFolder(path)
    checkpoint = newest_checkpoint(run, lambda _message: None, VocoderState.kind)
    if checkpoint is not None:
        return checkpoint
    if not is_file(run.model):
        raise ModelError(
            f"{path} has no {run.model.name} and no checkpoints",
            f"--init accepts {MODEL_CHOICES}",
        )
    return read_model(run.model)


def _check_architecture(
    config: Config, path: Path, mel: dict[str, Any], generator: dict[str, Any]
) -> None:
    for section, saved in (("mel", mel), (GENERATOR_PREFIX.rstrip("."), generator)):
        current: dict[str, Any] = getattr(config, section).model_dump(mode="json")
        # A description omits default values, and may have keys of another tool's models.
        for key in current | saved:
            value = current.get(key, "the default")
            if saved.get(key, "the default") != value:
                raise ModelError(
                    f"{path} has {section}.{key} = {saved.get(key)}, but this run has {value}",
                    "use the --preset or --config of the model",
                )
