"""The state of an enhancer's run in one sealed file, and the model that others read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from hifigan_cli.enhancement.model_file import EnhancerFile, write_enhancer
from hifigan_cli.errors import ModelError
from hifigan_cli.io.tensor_file import arrays_of, read_tensors, write_tensors
from hifigan_cli.runtime.environment import package_version
from hifigan_cli.training.records.checkpoint import load_network
from hifigan_cli.training.records.optimizers import (
    load_optimizer,
    named_parameters,
    optimizer_tensors,
)

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from hifigan_cli.enhancement.training.state import EnhancerState

KIND = "enhancer checkpoint"
MODEL_FILE, CHECKPOINT_FILE = "enhancer.safetensors", "checkpoint.safetensors"
_NETWORKS = ("enhancer", "judge", "average")
# What a resumed run may change.
_FREE = {"log_every", "validate_every", "checkpoint_every"}


def save(folder: Path, state: EnhancerState, data: str) -> None:
    """Write the model, then the checkpoint, each atomically.

    Raises:
        OutputError: the file system refused.
    """
    write_enhancer(folder / MODEL_FILE, published(state, data))
    tensors: dict[str, Tensor] = {"rng": torch.get_rng_state()}
    for name in _NETWORKS:
        own = getattr(state, name).state_dict()
        tensors |= {f"{name}.{key}": value for key, value in own.items()}
    for optimizer, names, prefix in _optimizers(state):
        tensors |= optimizer_tensors(optimizer, names, prefix)
    description = {
        "kind": KIND,
        "run": state.run.model_dump(mode="json"),
        "step": state.step,
        "data": data,
    }
    write_tensors(folder / CHECKPOINT_FILE, tensors, description)


def resume(folder: Path, state: EnhancerState, data: str) -> None:
    """Put a fresh state where the folder's checkpoint stood.

    Raises:
        ModelError: damaged, or of another recipe or other data.
    """
    path = folder / CHECKPOINT_FILE
    tensors, content = read_tensors(path)
    _check_same(path, content, state, data)
    state.step = int(content["step"])
    if state.step > state.first_adversarial_step:
        state.renew_optimizer()
    for name in _NETWORKS:
        part = {
            key.removeprefix(f"{name}."): value
            for key, value in tensors.items()
            if key.startswith(f"{name}.")
        }
        load_network(getattr(state, name), part)
    for optimizer, names, prefix in _optimizers(state):
        if any(key.startswith(prefix) for key in tensors):
            load_optimizer(optimizer, names, prefix, tensors)
    torch.set_rng_state(tensors["rng"])


def roll_back(folder: Path, state: EnhancerState, data: str) -> int:
    """Give a state the weights and moments of its checkpoint; return that one's step.

    The state's own step stays, and its phase, which then starts from those weights.

    Raises:
        ModelError: the checkpoint is damaged.
    """
    step = state.step
    resume(folder, state, data)
    before, state.step = state.step, step
    if before <= state.first_adversarial_step < step:
        state.enter_second_phase()
    return before


def published(state: EnhancerState, data: str) -> EnhancerFile:
    """Return the enhancer that a state amounts to."""
    weights = arrays_of(state.listener.state_dict())
    provenance = {
        "source": f"hifigan train-enhancer {package_version('hifigan-cli')}",
        "steps": state.step,
        "data": data,
        "recipe": state.run.model_dump(mode="json"),
    }
    return EnhancerFile(state.mel, state.run.enhancer, weights, provenance)


def _check_same(path: Path, content: dict[str, Any], state: EnhancerState, data: str) -> None:
    hint = "--out names another run; --fresh starts anew"
    if content.get("kind") != KIND:
        raise ModelError(f"{path} is a {content.get('kind')}, not an enhancer's checkpoint", hint)
    for section, wanted in state.run.model_dump(mode="json").items():
        for key, value in wanted.items():
            before = content["run"].get(section, {}).get(key)
            if before != value and key not in _FREE:
                raise ModelError(
                    f"{path} was trained with {section}.{key} = {before}, "
                    f"this command says {value}",
                    hint,
                )
    if content["data"] != data:
        raise ModelError(f"speech, noises or rooms changed since {path} was written", hint)


def _optimizers(
    state: EnhancerState,
) -> list[tuple[torch.optim.Optimizer, list[str], str]]:
    return [
        (state.optimizer, named_parameters({"": state.enhancer}), "optimizer."),
        (state.judge_optimizer, named_parameters({"": state.judge}), "judge_optimizer."),
    ]
