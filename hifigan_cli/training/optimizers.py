"""AdamW: its learning rate as a function of the step, and its moments as named tensors.

The official code multiplies the rate by 0.999 at the end of each epoch, which on the paper's corpus
is 809 batches. A scheduler object would have to be saved and could be stepped once too often at a
resume; a function cannot. A small corpus has short epochs, under which the rate would collapse
within hours, so a period is never shorter than the paper's.

torch numbers parameters by their place, so that a change of order would go unnoticed. In a
checkpoint each moment carries its parameter's name: `optimizer_g.exp_avg.conv_pre.bias`.
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

PAPER_EPOCH_STEPS = 809  # 12 950 clips, 16 a batch
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def adamw(
    parameters: Iterable[nn.Parameter], rate: float, betas: tuple[float, float], weight_decay: float
) -> torch.optim.AdamW:
    """Build the paper's optimizer, as one kernel for all parameters; the arithmetic is the same."""
    return torch.optim.AdamW(parameters, rate, betas, weight_decay=weight_decay, fused=True)


def decay_period(config: TrainConfig, batches_per_epoch: int) -> int:
    """Return after how many steps the learning rate falls once."""
    return config.lr_decay_steps or max(batches_per_epoch, PAPER_EPOCH_STEPS)


def learning_rate(config: TrainConfig, period: int, step: int) -> float:
    """Return the rate for the 0-based `step`.

    >>> from hifigan_cli.config import TrainConfig
    >>> learning_rate(TrainConfig(), 809, 0) == learning_rate(TrainConfig(), 809, 808) == 2e-4
    True
    >>> round(learning_rate(TrainConfig(), 809, 809) / 2e-4, 6)
    0.999
    """
    return config.learning_rate * config.lr_decay ** (step // period)


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Give every parameter of an optimizer this rate."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], float):
            group["lr"] = rate
        else:  # a tensor on the device, which a captured step reads
            group["lr"].fill_(rate)


def named_parameters(networks: Mapping[str, nn.Module]) -> list[str]:
    """Name the parameters of several networks, in the order that their optimizer has them."""
    return [
        f"{prefix}{name}"
        for prefix, network in networks.items()
        for name, _ in network.named_parameters()
    ]


def optimizer_tensors(optimizer: Optimizer, names: Sequence[str], prefix: str) -> dict[str, Tensor]:
    """Return the moments of every parameter, by name; empty before the first step."""
    memory = optimizer.state_dict()["state"]
    return {
        f"{prefix}{moment}.{name}": memory[place][moment]
        for place, name in enumerate(names)
        if place in memory
        for moment in _MOMENTS
    }


def load_optimizer(
    optimizer: Optimizer, names: Sequence[str], prefix: str, tensors: Mapping[str, Tensor]
) -> None:
    """Give an optimizer the moments that `optimizer_tensors` returned; none before its first step.

    An optimizer that has made steps takes the moments in place, where a captured CUDA graph reads
    and writes them.

    Raises:
        ModelError: a moment is missing.
    """
    if not any(key.startswith(prefix) for key in tensors):
        for moments in optimizer.state.values():
            for moment in _MOMENTS:
                moments[moment].zero_()
        return
    try:
        memory = {
            place: {moment: tensors[f"{prefix}{moment}.{name}"] for moment in _MOMENTS}
            for place, name in enumerate(names)
        }
    except KeyError as error:
        raise ModelError(f"the checkpoint lacks the optimizer's {error.args[0]}") from error
    if optimizer.state:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        for place, parameter in enumerate(parameters):
            for moment, value in memory[place].items():
                optimizer.state[parameter][moment].copy_(value)
        return
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": memory, "param_groups": groups})
