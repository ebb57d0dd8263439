"""A complete `TrainingState` in one safetensors file with a checksum.

It contains the networks as they are trained (weight norm's two parts, spectral norm's vectors), the
EMA, the optimizers' moments by parameter name, the states of the random generators, and a
description: the configuration, the step, the best validation and the digest of the data. Learning
rate and data order are functions of seed and step, so they are not stored. A resumed run is
identical to one that never stopped.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from hifigan_cli.errors import InputError, ModelError
from hifigan_cli.io.tensor_file import read_tensors, write_tensors
from hifigan_cli.models.shapes import check_same_shapes
from hifigan_cli.training.optimizers import load_optimizer, named_parameters, optimizer_tensors
from hifigan_cli.training.state import BestValidation, VocoderState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic import BaseModel
    from torch import Tensor

    from hifigan_cli.training.state import TrainingState

_RNG_CPU, _RNG_CUDA = "rng.cpu", "rng.cuda"


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint whose checksum was verified."""

    path: Path
    tensors: dict[str, Tensor]
    description: dict[str, Any]

    @property
    def step(self) -> int:
        """The number of completed steps."""
        return int(self.description["step"])

    def select(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose names start with `prefix`, with the prefix removed."""
        return select_prefix(self.tensors, prefix)

    def check_same_run(
        self, config: BaseModel, data_digest: str, changeable: frozenset[str]
    ) -> None:
        """Check that the configuration and data are those of this checkpoint's run.

        Raises:
            ModelError: a configuration value differs and its key is not in `changeable`.
            InputError: the training data are different.
        """
        saved: dict[str, dict[str, Any]] = self.description["config"]
        for section, current in config.model_dump(mode="json").items():
            for key, value in current.items():
                before = saved.get(section, {}).get(key)
                if before != value and key not in changeable:
                    raise ModelError(
                        f"{self.path} was trained with {section}.{key} = {before}, "
                        f"but this command sets it to {value}",
                        "use another --out; or restart with --fresh, which renames this run",
                    )
        if self.description["data"] != data_digest:
            raise InputError(
                f"the training data changed since {self.path} was written",
                "restore the data, choose another run with --out, or restart with --fresh",
            )


def write_checkpoint(path: Path, state: TrainingState, data_digest: str) -> None:
    """Write the state atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    description = {
        "kind": state.kind,
        "config": state.config.model_dump(mode="json"),
        "step": state.step,
        "best": asdict(state.best) if state.best else None,
        "data": data_digest,
    }
    write_tensors(path, state_tensors(state), description)


def read_checkpoint(path: Path, kind: str = VocoderState.kind) -> Checkpoint:
    """Read a checkpoint and verify its checksum.

    Raises:
        ModelError: the file is missing, damaged, or of another kind.
    """
    tensors, description = read_tensors(path)
    if description.get("kind") != kind:
        raise ModelError(f"{path} is a {description.get('kind')}, not a training {kind}")
    return Checkpoint(path, tensors, description)


def state_tensors(state: TrainingState) -> dict[str, Tensor]:
    """Return every tensor of a state by its name in a checkpoint."""
    tensors = {
        f"{name}.{key}": value
        for name, network in state.networks.items()
        for key, value in network.state_dict().items()
    }
    for name, (optimizer, networks) in state.optimizers.items():
        tensors |= optimizer_tensors(optimizer, named_parameters(networks), f"{name}.")
    tensors[_RNG_CPU] = torch.get_rng_state()
    if state.device.type == "cuda":
        tensors[_RNG_CUDA] = torch.cuda.get_rng_state(state.device)
    return tensors


def restore(state: TrainingState, checkpoint: Checkpoint) -> None:
    """Load a checkpoint into a state.

    Raises:
        ModelError: the tensors do not match the networks.
    """
    state.prepare_restore(checkpoint.step)
    for name, network in state.networks.items():
        load_network(network, checkpoint.select(f"{name}."))
    for name, (optimizer, networks) in state.optimizers.items():
        load_optimizer(optimizer, named_parameters(networks), f"{name}.", checkpoint.tensors)
    torch.set_rng_state(checkpoint.tensors[_RNG_CPU])
    if state.device.type == "cuda" and _RNG_CUDA in checkpoint.tensors:
        torch.cuda.set_rng_state(checkpoint.tensors[_RNG_CUDA], state.device)
    state.step = checkpoint.step
    best = checkpoint.description["best"]
    state.best = BestValidation(**best) if best else None


def load_network(network: torch.nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load a network's state.

    Raises:
        ModelError: a tensor is missing, unknown or of another shape.
    """
    check_same_shapes(network.state_dict(), tensors)
    network.load_state_dict(tensors)


def select_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names start with `prefix`, with the prefix removed."""
    selected = (item for item in tensors.items() if item[0].startswith(prefix))
    return {name.removeprefix(prefix): value for name, value in selected}
