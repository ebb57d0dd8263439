"""A complete `TrainingState` in one safetensors file with a checksum.

It holds the networks as they are trained (weight norm's two parts, spectral norm's vectors), the
moving average, the optimizers' moments by parameter name, the random generators, and a description:
the configuration, the step, the best validation, the digest of the data. Learning rate and data
order are functions of seed and step, so they need no place. To load it and go on is the same as
never to have stopped.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from hifigan_cli.errors import InputError, ModelError
from hifigan_cli.io.tensor_file import read_tensors, write_tensors
from hifigan_cli.models.shapes import check_fit
from hifigan_cli.training.optimizers import load_optimizer, named_parameters, optimizer_tensors
from hifigan_cli.training.state import Best, VocoderState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic import BaseModel
    from torch import Tensor

    from hifigan_cli.training.state import TrainingState

_RNG_CPU, _RNG_CUDA = "rng.cpu", "rng.cuda"


@dataclass(frozen=True)
class ResumePoint:
    """A checkpoint's content in memory, its checksum verified."""

    path: Path
    tensors: dict[str, Tensor]
    description: dict[str, Any]

    @property
    def step(self) -> int:
        """Steps done when it was written."""
        return int(self.description["step"])

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose names start with `prefix`, without it."""
        return part(self.tensors, prefix)

    def check_same_run(self, config: BaseModel, data_digest: str, free: frozenset[str]) -> None:
        """Check that going on from here would continue the same run.

        Raises:
            ModelError: names the first configuration value that differs and is not `free` to.
            InputError: the training data are others.
        """
        found: dict[str, dict[str, Any]] = self.description["config"]
        for section, wanted in config.model_dump(mode="json").items():
            for key, value in wanted.items():
                before = found.get(section, {}).get(key)
                if before != value and key not in free:
                    raise ModelError(
                        f"{self.path} was trained with {section}.{key} = {before}, "
                        f"this command says {value}",
                        "--out names another run; --fresh sets this one aside and starts over",
                    )
        if self.description["data"] != data_digest:
            raise InputError(
                f"the training data changed since {self.path} was written",
                "restore them; or train another run with --out; or start over with --fresh",
            )


def write_checkpoint(path: Path, state: TrainingState, data_digest: str) -> None:
    """Write the state atomically.

    Raises:
        OutputError: the file system refused.
    """
    description = {
        "kind": state.kind,
        "config": state.config.model_dump(mode="json"),
        "step": state.step,
        "best": asdict(state.best) if state.best else None,
        "data": data_digest,
    }
    write_tensors(path, state_tensors(state), description)


def read_checkpoint(path: Path, kind: str = VocoderState.kind) -> ResumePoint:
    """Read a checkpoint and verify its checksum.

    Raises:
        ModelError: missing, damaged, or another kind of file.
    """
    tensors, description = read_tensors(path)
    if description.get("kind") != kind:
        raise ModelError(f"{path} is a {description.get('kind')}, not a {kind} of a training")
    return ResumePoint(path, tensors, description)


def state_tensors(state: TrainingState) -> dict[str, Tensor]:
    """Return every tensor of a state, by the name it has in a checkpoint."""
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


def restore(state: TrainingState, checkpoint: ResumePoint) -> None:
    """Put a state where the checkpoint stood.

    Raises:
        ModelError: its tensors do not fit the networks.
    """
    state.prepare_restore(checkpoint.step)
    for name, network in state.networks.items():
        load_network(network, checkpoint.part(f"{name}."))
    for name, (optimizer, networks) in state.optimizers.items():
        load_optimizer(optimizer, named_parameters(networks), f"{name}.", checkpoint.tensors)
    torch.set_rng_state(checkpoint.tensors[_RNG_CPU])
    if state.device.type == "cuda" and _RNG_CUDA in checkpoint.tensors:
        torch.cuda.set_rng_state(checkpoint.tensors[_RNG_CUDA], state.device)
    state.step = checkpoint.step
    best = checkpoint.description["best"]
    state.best = Best(**best) if best else None


def load_network(network: torch.nn.Module, found: Mapping[str, Tensor]) -> None:
    """Load a network's own state.

    Raises:
        ModelError: names the first tensor that does not fit.
    """
    check_fit(network.state_dict(), found)
    network.load_state_dict(found)


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names start with `prefix`, without it."""
    found = (item for item in tensors.items() if item[0].startswith(prefix))
    return {name.removeprefix(prefix): value for name, value in found}
