"""The learning rate, as a pure function of the step.

The official code multiplies it by 0.999 at the end of each epoch, which on the paper's corpus is
809 batches. A scheduler object would have to be saved and could be stepped once too often at a
resume; a function cannot. A small corpus has short epochs, under which the rate would collapse
within hours, so a period is never shorter than the paper's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from hifigan_cli.config import TrainConfig

PAPER_EPOCH_STEPS = 809  # 12 950 clips, 16 a batch


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


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter of an optimiser this rate."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], float):
            group["lr"] = rate
        else:  # a tensor on the device, which a captured step reads
            group["lr"].fill_(rate)
