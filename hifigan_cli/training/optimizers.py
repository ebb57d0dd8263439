"""AdamW: its learning rate as a function of the step, and its moments as named tensors.

The official code multiplies the learning rate by 0.999 at the end of each epoch, which is 809
batches on the paper's corpus. A scheduler object would have to be saved, and a resume could step it
once too often; a function of the step avoids both. On a small corpus with short epochs the learning
rate would collapse within hours, so a decay period is never shorter than the paper's.

torch numbers parameters by position, so a change of order would go unnoticed. In a checkpoint each
moment has its parameter's name: `optimizer_g.exp_avg.conv_pre.bias`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from hifigan_cli.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torch import Tensor, nn
    from torch.optim import Optimizer

    from hifigan_cli.config import TrainConfig

PAPER_EPOCH_STEPS = 809  # 12 950 clips, 16 per batch
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def adamw(
    parameters: Iterable[nn.Parameter], lr: float, betas: tuple[float, float], weight_decay: float
) -> torch.optim.AdamW:
    """Build the paper's optimizer in torch's fused form, which computes the same updates."""
    return torch.optim.AdamW(parameters, lr, betas, weight_decay=weight_decay, fused=True)


def decay_period(config: TrainConfig, batches_per_epoch: int) -> int:
    """Return the number of steps between two decays of the learning rate."""
    return config.lr_decay_steps or max(batches_per_epoch, PAPER_EPOCH_STEPS)


def learning_rate(config: TrainConfig, period: int, step: int) -> float:
    """Return the learning rate of the 0-based `step`.

    >>> from hifigan_cli.config import TrainConfig
    >>> learning_rate(TrainConfig(), 809, 0) == learning_rate(TrainConfig(), 809, 808) == 2e-4
    True
    >>> round(learning_rate(TrainConfig(), 809, 809) / 2e-4, 6)
    0.999
    """
    return config.learning_rate * config.lr_decay ** (step // period)


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of all parameter groups."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], float):
            group["lr"] = lr
        else:  # a tensor on the device, which a CUDA graph reads
            group["lr"].fill_(lr)


def named_parameters(networks: Mapping[str, nn.Module]) -> list[str]:
    """List the names of the networks' parameters in the order of their optimizer."""
    return [
        f"{prefix}{name}"
        for prefix, network in networks.items()
        for name, _ in network.named_parameters()
    ]


def optimizer_tensors(optimizer: Optimizer, names: Sequence[str], prefix: str) -> dict[str, Tensor]:
    """Return the moments of all parameters by name; empty before the first step."""
    state = optimizer.state_dict()["state"]
    return {
        f"{prefix}{moment}.{name}": state[index][moment]
        for index, name in enumerate(names)
        if index in state
        for moment in _MOMENTS
    }


def load_optimizer(
    optimizer: Optimizer, names: Sequence[str], prefix: str, tensors: Mapping[str, Tensor]
) -> None:
    """Load the moments that `optimizer_tensors` returned; there are none before the first step.

    An optimizer that already has moments is changed in place, because a CUDA graph reads and writes
    them at fixed addresses.

    Raises:
        ModelError: a moment is missing.
    """
    if not any(key.startswith(prefix) for key in tensors):
        for moments in optimizer.state.values():
            for moment in _MOMENTS:
                moments[moment].zero_()
        return
    try:
        state = {
            index: {moment: tensors[f"{prefix}{moment}.{name}"] for moment in _MOMENTS}
            for index, name in enumerate(names)
        }
    except KeyError as error:
        raise ModelError(f"the checkpoint has no tensor {error.args[0]}") from error
    if optimizer.state:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        for index, parameter in enumerate(parameters):
            for moment, value in state[index].items():
                optimizer.state[parameter][moment].copy_(value)
        return
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
