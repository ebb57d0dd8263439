"""All that changes while an enhancer is trained, and what a step's learning rates are.

There are two phases. In the first the network learns distances alone. In the second a judge of
patches joins, the optimiser starts anew at a lower rate, and an average of the weights is kept,
which is what the run publishes.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import torch

from hifigan_cli.enhancement.network import Enhancer, PatchDiscriminator

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

    from hifigan_cli.config import MelConfig
    from hifigan_cli.enhancement.config import EnhancerRun

_WARM_UP = 0.08  # of the first phase
_LATE_WARM_UP, _FALL_FROM, _LEAST = 0.1, 0.6, 0.05  # of the second
JUDGE_ALONE_STEPS = 60  # before its word counts


class EnhancerState:
    """A run at one step."""

    def __init__(self, run: EnhancerRun, mel: MelConfig, device: torch.device) -> None:
        """Build everything from the configuration's seed, at step 0."""
        self.run, self.mel, self.device = run, mel, device
        torch.manual_seed(run.training.seed)
        self.enhancer = Enhancer(run.enhancer, mel.n_mels).to(device)
        self.judge = PatchDiscriminator().to(device)
        self.average = copy.deepcopy(self.enhancer).requires_grad_(requires_grad=False)
        self.step = 0
        self.optimizer = _adamw(self.enhancer.parameters(), (0.9, 0.98))
        self.judge_optimizer = _adamw(self.judge.parameters(), (0.8, 0.98))

    @property
    def first_adversarial_step(self) -> int:
        """The step at which the judge joins."""
        return self.run.training.steps - self.run.training.adversarial_steps

    @property
    def adversarial(self) -> bool:
        """Whether the judge is there."""
        return self.step >= self.first_adversarial_step

    @property
    def listener(self) -> Enhancer:
        """The network that is validated and published."""
        return self.average if self.step > self.first_adversarial_step else self.enhancer

    def begin_phase(self) -> None:
        """Start the second phase when its step has come; otherwise do nothing."""
        if self.step == self.first_adversarial_step and self.run.training.adversarial_steps:
            self.enter_second_phase()

    def enter_second_phase(self) -> None:
        """Start it from the weights as they are."""
        self.renew_optimizer()
        self.average.load_state_dict(self.enhancer.state_dict())

    def renew_optimizer(self) -> None:
        """Take the second phase's optimiser, which knows nothing of the first."""
        self.optimizer = _adamw(self.enhancer.parameters(), (0.8, 0.98))

    def set_rates(self) -> float:
        """Set the learning rates of this step; return the enhancer's."""
        training = self.run.training
        if self.adversarial:
            done = (self.step - self.first_adversarial_step) / training.adversarial_steps
            rate = training.adversarial_rate * _late(done)
        else:
            rate = training.learning_rate * _early(self.step / self.first_adversarial_step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        for group in self.judge_optimizer.param_groups:
            group["lr"] = training.discriminator_rate
        return rate

    @torch.no_grad()
    def follow(self) -> None:
        """Move the average towards the network by one step."""
        blend = 1 - self.run.training.ema_decay
        for kept, new in zip(self.average.parameters(), self.enhancer.parameters(), strict=True):
            kept.lerp_(new, blend)


def _adamw(parameters: Iterable[nn.Parameter], betas: tuple[float, float]) -> torch.optim.AdamW:
    return torch.optim.AdamW(parameters, betas=betas, weight_decay=0.01, fused=True)


def _early(done: float) -> float:
    """Rise, then fall along a cosine."""
    if done < _WARM_UP:
        return max(done / _WARM_UP, 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP))) + 1e-3


def _late(done: float) -> float:
    """Rise, stay, and fall along a line."""
    falling = max(_LEAST, 1 - max(0.0, done - _FALL_FROM) / (1 - _FALL_FROM))
    return max(min(1.0, done / _LATE_WARM_UP), 1e-3) * falling
