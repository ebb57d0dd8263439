"""A whole `TrainState` in one sealed safetensors file.

It holds the networks as they are trained (weight norm's two parts, spectral norm's vectors), both
optimisers' moments by parameter name, the average, the random generators, and a description: the
configuration, the step, the best validation, the digest of the data. Learning rate and data order
are functions of seed and step, so they need no place. Loading it and going on is the same as never
having stopped.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from hifigan_cli.config.schema import FREE_ON_RESUME
from hifigan_cli.errors import InputError, ModelError
from hifigan_cli.io.tensor_file import read_tensors, write_tensors
from hifigan_cli.models.shapes import check_fit
from hifigan_cli.training.records.optimizers import (
    load_optimizer,
    named_parameters,
    optimizer_tensors,
)
from hifigan_cli.training.state import NETWORKS, Best, TrainState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from hifigan_cli.config import Config

KIND = "checkpoint"
_AVERAGE = "average."
_RNG_CPU, _RNG_CUDA = "rng.cpu", "rng.cuda"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's content in memory, its digest already checked."""

    path: Path
    tensors: dict[str, Tensor]
    description: dict[str, Any]

    @property
    def step(self) -> int:
        """Steps done when it was written."""
        return int(self.description["step"])

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose names start with `prefix`, without it."""
        found = (item for item in self.tensors.items() if item[0].startswith(prefix))
        return {name.removeprefix(prefix): value for name, value in found}


def write_checkpoint(path: Path, state: TrainState, data_digest: str) -> None:
    """Write the state atomically.

    Raises:
        OutputError: the file system refused.
    """
    description = {
        "kind": KIND,
        "config": state.config.model_dump(mode="json"),
        "step": state.step,
        "best": asdict(state.best) if state.best else None,
        "data": data_digest,
    }
    write_tensors(path, state_tensors(state), description)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint and check its digest.

    Raises:
        ModelError: missing, damaged, or another kind of file.
    """
    tensors, description = read_tensors(path)
    if description.get("kind") != KIND:
        raise ModelError(f"{path} is a {description.get('kind')}, not a training checkpoint")
    return Checkpoint(path, tensors, description)


def restore(state: TrainState, checkpoint: Checkpoint) -> None:
    """Put a fresh state where the checkpoint stood.

    Raises:
        ModelError: its tensors do not fit the networks.
    """
    for name in NETWORKS:
        load_network(getattr(state, name), checkpoint.part(f"{name}."))
    if state.average is not None:
        load_network(state.average, checkpoint.part(_AVERAGE))
    for optimizer, names, prefix in _optimizers(state):
        load_optimizer(optimizer, names, prefix, checkpoint.tensors)
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


def state_tensors(state: TrainState) -> dict[str, Tensor]:
    """Return every tensor of a state, by the name it has in a checkpoint."""
    tensors = {
        f"{name}.{key}": value
        for name in NETWORKS
        for key, value in getattr(state, name).state_dict().items()
    }
    if state.average is not None:
        tensors |= {_AVERAGE + key: value for key, value in state.average.state_dict().items()}
    for optimizer, names, prefix in _optimizers(state):
        tensors |= optimizer_tensors(optimizer, names, prefix)
    tensors[_RNG_CPU] = torch.get_rng_state()
    if state.device.type == "cuda":
        tensors[_RNG_CUDA] = torch.cuda.get_rng_state(state.device)
    return tensors


def _optimizers(state: TrainState) -> list[tuple[torch.optim.Optimizer, list[str], str]]:
    names_g = named_parameters({"": state.generator})
    names_d = named_parameters({"mpd.": state.mpd, "msd.": state.msd})
    return [
        (state.optimizer_g, names_g, "optimizer_g."),
        (state.optimizer_d, names_d, "optimizer_d."),
    ]


def check_same_run(checkpoint: Checkpoint, config: Config, data_digest: str) -> None:
    """Check that going on from a checkpoint would continue the same run.

    Raises:
        ModelError: names the first configuration value that differs and may not.
        InputError: the prepared data are others.
    """
    found: dict[str, dict[str, Any]] = checkpoint.description["config"]
    for section, wanted in config.model_dump(mode="json").items():
        for key, value in wanted.items():
            before = found.get(section, {}).get(key)
            if before != value and key not in FREE_ON_RESUME:
                raise ModelError(
                    f"{checkpoint.path} was trained with {section}.{key} = {before}, "
                    f"this command says {value}",
                    "--out names another run; --fresh sets this one aside and starts anew",
                )
    if checkpoint.description["data"] != data_digest:
        raise InputError(
            f"the prepared data changed since {checkpoint.path} was written",
            "restore them; or train another run with --out; or start anew with --fresh",
        )
