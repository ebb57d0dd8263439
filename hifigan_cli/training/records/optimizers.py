"""An optimiser's memory as named tensors, and back.

torch numbers parameters by their place, so that a change of order would go unnoticed. Here each
moment carries its parameter's name: `optimizer_g.exp_avg.conv_pre.bias`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hifigan_cli.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn
    from torch.optim import Optimizer

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def named_parameters(networks: Mapping[str, nn.Module]) -> list[str]:
    """Name the parameters of several networks, in the order that their optimiser has them."""
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
    """Give an optimiser the moments that `optimizer_tensors` returned.

    One that had not made a step has none. One that has steps behind it takes the moments in place,
    where a captured CUDA graph reads and writes them.

    Raises:
        ModelError: a moment is missing.
    """
    if not any(key.startswith(prefix) for key in tensors):
        return
    try:
        memory = {
            place: {moment: tensors[f"{prefix}{moment}.{name}"] for moment in _MOMENTS}
            for place, name in enumerate(names)
        }
    except KeyError as error:
        raise ModelError(f"the checkpoint lacks the optimiser's {error.args[0]}") from error
    if optimizer.state:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        for place, parameter in enumerate(parameters):
            for moment, value in memory[place].items():
                optimizer.state[parameter][moment].copy_(value)
        return
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": memory, "param_groups": groups})
