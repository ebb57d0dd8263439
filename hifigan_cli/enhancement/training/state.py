"""All that changes while an enhancer is trained, and what a step's learning rates are.

There are two phases. In the first the network learns only from distances. In the second a patch
discriminator joins, the optimizer starts over at a lower rate, and a moving average of the weights
is kept, which is what the run publishes.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

from hifigan_cli.enhancement.network import Enhancer, PatchDiscriminator
from hifigan_cli.training.optimizers import adamw, set_learning_rate
from hifigan_cli.training.state import TrainingState, update_ema

if TYPE_CHECKING:
    import torch

    from hifigan_cli.config import MelConfig
    from hifigan_cli.enhancement.config import EnhancerRun

_WARM_UP = 0.08  # of the first phase
_LATE_WARM_UP, _FALL_FROM, _LEAST = 0.1, 0.6, 0.05  # of the second
_WEIGHT_DECAY = 0.01
_EARLY_BETAS, _LATE_BETAS = (0.9, 0.98), (0.8, 0.98)


class EnhancerState(TrainingState):
    """A run at one step: the enhancer, its discriminator and moving average, two optimizers."""

    kind = "enhancer checkpoint"
    free_on_resume = frozenset({"log_every", "validate_every", "checkpoint_every"})
    config: EnhancerRun

    def __init__(self, config: EnhancerRun, mel: MelConfig, device: torch.device) -> None:
        """Build everything from the configuration's seed, at step 0."""
        super().__init__(config, device, config.training.seed)
        self.mel = mel
        self.enhancer = Enhancer(config.enhancer, mel.n_mels).to(device)
        self.discriminator = PatchDiscriminator().to(device)
        self.ema = copy.deepcopy(self.enhancer).requires_grad_(requires_grad=False)
        self.networks = {
            "enhancer": self.enhancer,
            "discriminator": self.discriminator,
            "ema": self.ema,
        }
        self.optimizer_d = adamw(
            self.discriminator.parameters(),
            config.training.discriminator_learning_rate,
            _LATE_BETAS,
            _WEIGHT_DECAY,
        )
        self.optimizers = {"optimizer_d": (self.optimizer_d, {"": self.discriminator})}
        self._new_optimizer(_EARLY_BETAS)

    def _new_optimizer(self, betas: tuple[float, float]) -> None:
        rate = self.config.training.learning_rate
        self.optimizer = adamw(self.enhancer.parameters(), rate, betas, _WEIGHT_DECAY)
        self.optimizers["optimizer"] = (self.optimizer, {"": self.enhancer})

    @property
    def first_adversarial_step(self) -> int:
        """The step at which the discriminator joins."""
        return self.config.training.steps - self.config.training.adversarial_steps

    @property
    def adversarial(self) -> bool:
        """Whether the discriminator is there."""
        return self.step >= self.first_adversarial_step

    @property
    def published(self) -> Enhancer:
        """The network that is validated and published."""
        return self.ema if self.step > self.first_adversarial_step else self.enhancer

    def prepare_restore(self, step: int) -> None:
        """Take the second phase's optimizer where the checkpoint is of that phase."""
        if step > self.first_adversarial_step:
            self._new_optimizer(_LATE_BETAS)

    def rolled_back(self, before: int) -> None:
        """Start the second phase from the weights of the first, if that is where they are from."""
        if before <= self.first_adversarial_step < self.step:
            self._enter_second_phase()

    def _enter_second_phase(self) -> None:
        self._new_optimizer(_LATE_BETAS)
        self.ema.load_state_dict(self.enhancer.state_dict())

    def set_learning_rate(self) -> float:
        """Set the learning rates of this step, entering its phase; return the enhancer's."""
        training, first = self.config.training, self.first_adversarial_step
        if self.step == first and training.adversarial_steps:
            self._enter_second_phase()
        if self.adversarial:
            rate = training.adversarial_learning_rate * _late(
                (self.step - first) / training.adversarial_steps
            )
        else:
            rate = training.learning_rate * _early(self.step / first)
        set_learning_rate(self.optimizer, rate)
        return rate

    def update_ema(self) -> None:
        """Move the average towards the network by one step."""
        update_ema(self.ema, self.enhancer, self.config.training.ema_decay)


def _early(done: float) -> float:
    """Rise, then fall along a cosine."""
    if done < _WARM_UP:
        return max(done / _WARM_UP, 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP))) + 1e-3


def _late(done: float) -> float:
    """Rise, stay, and fall along a line."""
    falling = max(_LEAST, 1 - max(0.0, done - _FALL_FROM) / (1 - _FALL_FROM))
    return max(min(1.0, done / _LATE_WARM_UP), 1e-3) * falling
