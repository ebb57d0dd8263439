"""Starting from what another training learned: `--init`.

A model file gives the generator, and the discriminators where it has them. A run's folder, or one
of its checkpoints, gives all three networks. Optimizers, step and moving average start over.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from hifigan_cli.errors import ModelError
from hifigan_cli.importers.model_lookup import CHOICES, locate_source, open_model
from hifigan_cli.io.files import is_file, is_folder
from hifigan_cli.io.tensor_file import read_description, tensors_of
from hifigan_cli.models.model_file import GENERATOR, ModelFile, read_model
from hifigan_cli.models.norms import folded, load_folded
from hifigan_cli.models.shapes import check_fit
from hifigan_cli.training.checkpoint import ResumePoint, load_network, part, read_checkpoint
from hifigan_cli.training.run_folder import RunFolder, newest_checkpoint
from hifigan_cli.training.state import VocoderState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hifigan_cli.config import Config


def read_source(name: str | Path, config: Config) -> Callable[[VocoderState], str]:
    """Read a model file, a checkpoint, or the newest of a run's folder, to start from.

    A pretrained name is read from its converted copy, which is converted again if it is damaged.

    Returns:
        A function that loads its networks into a state and returns a sentence on what it loaded.

    Raises:
        ModelError: nothing there to start from, damaged, or of another architecture.
    """
    path = locate_source(name)  # a run's folder stays one, for its discriminators
    content = _read(name, path)
    if isinstance(content, ResumePoint):
        found = content.description["config"]
        mel, generator = found["mel"], found["generator"]
        # Checkpoints from before it could be chosen have the paper's.
        width = found["train"].get("discriminator_width", 1.0)
    else:
        mel, generator = (part.model_dump(mode="json") for part in (content.mel, content.generator))
        width = 1.0 if content.discriminators else config.train.discriminator_width
    _check_architecture(config, path, mel, generator)
    if width != config.train.discriminator_width:
        raise ModelError(
            f"{path} has train.discriminator_width = {width}, "
            f"this run has {config.train.discriminator_width}",
            f"--set discriminator_width={width}; of a run, --init RUN/model.safetensors takes only "
            "the generator",
        )
    return partial(_load, path, content)


def _load(path: Path, content: ResumePoint | ModelFile, state: VocoderState) -> str:
    if isinstance(content, ResumePoint):
        load_network(state.generator, content.part("generator."))
        discriminators = content.tensors
    else:
        check_fit(folded(state.generator.state_dict()), content.weights)
        load_folded(state.generator, tensors_of(content.weights))
        discriminators = tensors_of(content.discriminators)
    state.restart_ema()
    if not discriminators:
        return f"starting from the generator of {path}; it has no discriminators"
    load_network(state.mpd, part(discriminators, "mpd."))
    load_network(state.msd, part(discriminators, "msd."))
    return f"starting from the networks of {path}"


def _read(name: str | Path, path: Path) -> ResumePoint | ModelFile:
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
            f"--init takes {CHOICES}",
        )
    return read_model(run.model)


def _check_architecture(
    config: Config, path: Path, mel: dict[str, Any], generator: dict[str, Any]
) -> None:
    for section, found in (("mel", mel), (GENERATOR.rstrip("."), generator)):
        wanted: dict[str, Any] = getattr(config, section).model_dump(mode="json")
        # A description leaves out what is as usual, and has what only another tool's model has.
        for key in wanted | found:
            value = wanted.get(key, "the usual")
            if found.get(key, "the usual") != value:
                raise ModelError(
                    f"{path} has {section}.{key} = {found.get(key)}, this run has {value}",
                    "choose the preset or --config that the model was trained with",
                )
