"""Starting from what another training learned: `--init`.

A model file gives the generator, and the discriminators where it has them. A run's folder, or one
of its checkpoints, gives all three networks. The optimisers, the step and the average start anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hifigan_cli.errors import ModelError
from hifigan_cli.io.files import is_file, is_folder
from hifigan_cli.io.tensor_file import read_description, tensors_of
from hifigan_cli.models.model_file import GENERATOR, ModelFile, read_model
from hifigan_cli.models.norms import folded, load_folded
from hifigan_cli.models.shapes import check_fit
from hifigan_cli.training.records.checkpoint import (
    KIND,
    Checkpoint,
    load_network,
    read_checkpoint,
)
from hifigan_cli.training.records.folder import RunFolder, newest_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from hifigan_cli.config import Config, VocoderConfig
    from hifigan_cli.training.state import TrainState


def read_source(path: Path, config: Config) -> Checkpoint | ModelFile:
    """Read a model file, a checkpoint, or the newest of a run's folder, to start from.

    Raises:
        ModelError: nothing there to start from, damaged, or of another architecture.
    """
    source = _read(path, config)
    if isinstance(source, Checkpoint):
        # Checkpoints from before it could be chosen have the paper's.
        width = source.description["config"]["train"].get("discriminator_width", 1.0)
    else:
        width = 1.0 if source.discriminators else config.train.discriminator_width
    if width != config.train.discriminator_width:
        raise ModelError(
            f"{path} has train.discriminator_width = {width}, "
            f"this run has {config.train.discriminator_width}",
            f"--set discriminator_width={width}; of a run, --init RUN/model.safetensors takes the "
            "generator alone",
        )
    return source


def _read(path: Path, config: Config) -> Checkpoint | ModelFile:
    checkpoint = _checkpoint(path)
    if checkpoint is not None:
        found = checkpoint.description["config"]
        _check_architecture(config, checkpoint.path, found["mel"], found["generator"])
        return checkpoint
    if is_folder(path):
        folder, path = path, RunFolder(path).model
        if not is_file(path):
            raise ModelError(
                f"{folder} has no {path.name} and no checkpoints",
                "--init takes a model file, a run's folder, or a pretrained name",
            )
    model = read_model(path)
    architecture = model.mel.model_dump(mode="json"), model.generator.model_dump(mode="json")
    _check_architecture(config, path, *architecture)
    return model


def warm_start(state: TrainState, source: Checkpoint | ModelFile) -> bool:
    """Load the networks of a source of the same architecture.

    Returns whether the discriminators came along.

    Raises:
        ModelError: its tensors do not fit the networks.
    """
    if isinstance(source, Checkpoint):
        return _from_checkpoint(state, source)
    return _from_model(state, source)


def _checkpoint(path: Path) -> Checkpoint | None:
    if is_folder(path):
        return newest_checkpoint(RunFolder(path), lambda _message: None)
    return read_checkpoint(path) if read_description(path).get("kind") == KIND else None


def _from_checkpoint(state: TrainState, checkpoint: Checkpoint) -> bool:
    for name in ("generator", "mpd", "msd"):
        load_network(getattr(state, name), checkpoint.part(f"{name}."))
    state.restart_average()
    return True


def _from_model(state: TrainState, model: ModelFile) -> bool:
    check_fit(folded(state.generator.state_dict()), model.weights)
    load_folded(state.generator, tensors_of(model.weights))
    state.restart_average()
    if not model.discriminators:
        return False
    others = tensors_of(model.discriminators)
    for name in ("mpd", "msd"):
        load_network(getattr(state, name), _part(others, f"{name}."))
    return True


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    chosen = (item for item in tensors.items() if item[0].startswith(prefix))
    return {name.removeprefix(prefix): value for name, value in chosen}


def _check_architecture(
    own: VocoderConfig, path: Path, mel: dict[str, Any], generator: dict[str, Any]
) -> None:
    for section, found in (("mel", mel), (GENERATOR.rstrip("."), generator)):
        wanted: dict[str, Any] = getattr(own, section).model_dump(mode="json")
        # What is as usual is left out of a description, and what another tool's model has is not.
        for key in wanted | found:
            value = wanted.get(key, "the usual")
            if found.get(key, "the usual") != value:
                raise ModelError(
                    f"{path} has {section}.{key} = {found.get(key)}, this run has {value}",
                    "choose the preset or --config that the model was trained with",
                )
