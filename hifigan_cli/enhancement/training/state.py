"""The state of enhancer training, and the learning rate schedule.

Training has two phases. In the first, the network learns from distances only. In the second, a
patch discriminator joins, the optimizer starts over at a lower rate, and an exponential moving
average (EMA) of the weights becomes the result of the run.
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
    from hifigan_cli.enhancement.config import EnhancerRunConfig

_WARM_UP = 0.08  # share of the first phase
_SECOND_WARM_UP, _DECAY_START = 0.1, 0.6  # shares of the second phase
_MIN_FACTOR = 0.05  # lowest learning rate of the second phase, relative to its highest
_WEIGHT_DECAY = 0.01
_FIRST_BETAS, _SECOND_BETAS = (0.9, 0.98), (0.8, 0.98)


class EnhancerState(TrainingState):
    """A run at one step: the enhancer, its discriminator and its EMA, two optimizers."""

    kind = "enhancer checkpoint"
    changeable_on_resume = frozenset({"log_every", "validate_every", "checkpoint_every"})
    config: EnhancerRunConfig

    def __init__(self, config: EnhancerRunConfig, mel: MelConfig, device: torch.device) -> None:
        """Build the state at step 0 from the seed in the configuration."""
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
            _SECOND_BETAS,
            _WEIGHT_DECAY,
        )
        self.optimizers = {"optimizer_d": (self.optimizer_d, {"": self.discriminator})}
        self._new_optimizer(_FIRST_BETAS)

    def _new_optimizer(self, betas: tuple[float, float]) -> None:
        rate = self.config.training.learning_rate
        self.optimizer = adamw(self.enhancer.parameters(), rate, betas, _WEIGHT_DECAY)
        self.optimizers["optimizer"] = (self.optimizer, {"": self.enhancer})

    @property
    def adversarial_start(self) -> int:
        """The first step of the second phase."""
        return self.config.training.steps - self.config.training.adversarial_steps

    @property
    def adversarial(self) -> bool:
        """Whether the current step is in the second phase."""
        return self.step >= self.adversarial_start

    @property
    def eval_enhancer(self) -> Enhancer:
        """The network to validate and to write: the EMA in the second phase."""
        return self.ema if self.step > self.adversarial_start else self.enhancer

    def prepare_restore(self, step: int) -> None:
        """Create the optimizer of the second phase if the checkpoint is from that phase."""
        if step > self.adversarial_start:
            self._new_optimizer(_SECOND_BETAS)

    def on_rollback(self, before: int) -> None:
        """Start the second phase from the restored weights if they are from the first phase."""
        if before <= self.adversarial_start < self.step:
            self._enter_second_phase()

    def _enter_second_phase(self) -> None:
        self._new_optimizer(_SECOND_BETAS)
        self.ema.load_state_dict(self.enhancer.state_dict())

    def set_learning_rate(self) -> float:
        """Set the learning rate of this step, and enter the second phase at its first step."""
        training, first = self.config.training, self.adversarial_start
        if self.step == first and training.adversarial_steps:
            self._enter_second_phase()
        if self.adversarial:
            rate = training.adversarial_learning_rate * _second_phase_factor(
                (self.step - first) / training.adversarial_steps
            )
        else:
            rate = training.learning_rate * _first_phase_factor(self.step / first)
        set_learning_rate(self.optimizer, rate)
        return rate

    def update_ema(self) -> None:
        """Update the EMA of the weights."""
        update_ema(self.ema, self.enhancer, self.config.training.ema_decay)


def _first_phase_factor(progress: float) -> float:
    """Warm up, then decay along a cosine."""
    if progress < _WARM_UP:
        return max(progress / _WARM_UP, 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP))) + 1e-3


def _second_phase_factor(progress: float) -> float:
    """Warm up, stay constant, then decay linearly."""
    decay = max(_MIN_FACTOR, 1 - max(0.0, progress - _DECAY_START) / (1 - _DECAY_START))
    return max(min(1.0, progress / _SECOND_WARM_UP), 1e-3) * decay
