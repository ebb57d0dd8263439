"""The state of a training: everything that changes from step to step and is saved.

`TrainingState` is the interface for the trainer; `VocoderState` has the paper's three networks.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import get_ema_multi_avg_fn

from hifigan_cli.config.schema import CHANGEABLE_ON_RESUME
from hifigan_cli.models import Generator, MultiPeriodDiscriminator, MultiScaleDiscriminator
from hifigan_cli.models.optimized import OptimizedDiscriminators, OptimizedGenerator
from hifigan_cli.training.optimizers import adamw

if TYPE_CHECKING:
    from pydantic import BaseModel
    from torch.optim import Optimizer

    from hifigan_cli.config import Config


@dataclass
class BestValidation:
    """The lowest validation error so far, and its step."""

    step: int
    mel_l1_full: float


class TrainingState:
    """The state of a run at one step.

    Attributes:
        kind: identifies the checkpoints of this class.
        changeable_on_resume: the configuration keys that a resumed run may change.
        config: the configuration of the run.
        step: the number of completed steps.
        best: the best validation so far, or None.
        networks: all networks, including the EMA, by their names in a checkpoint.
        optimizers: all optimizers by their names in a checkpoint, each with its networks by prefix.
    """

    kind: ClassVar[str]
    changeable_on_resume: ClassVar[frozenset[str]]
    config: BaseModel
    networks: dict[str, nn.Module]
    optimizers: dict[str, tuple[Optimizer, dict[str, nn.Module]]]

    def __init__(self, config: BaseModel, device: torch.device, seed: int) -> None:
        self.config, self.device = config, device
        self.step = 0
        self.best: BestValidation | None = None
        torch.manual_seed(seed)

    def zero_grad(self) -> None:
        """Clear the gradients of all networks."""
        for network in self.networks.values():
            network.zero_grad()

    def prepare_restore(self, step: int) -> None:
        """Prepare for loading a checkpoint of this step."""

    def on_rollback(self, before: int) -> None:
        """React to the weights of an earlier step having been loaded."""


@torch.no_grad()
def update_ema(ema: nn.Module, network: nn.Module, decay: float) -> None:
    """Update the exponential moving average of a network's weights."""
    blend = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    blend(list(ema.parameters()), list(network.parameters()), 0)


class VocoderState(TrainingState):
    """The paper's networks, two optimizers and an EMA.

    Attributes:
        generator, mpd, msd: the networks, with weight norm.
        ema: the generator's exponential moving average, or None.
        optimizer_g, optimizer_d: AdamW for the generator, and for both discriminators.
        optimized_generator, optimized_discriminators: the same networks, optimized for speed.
        step_networks: the optimized `generator` and `discriminators` that a step calls; with
            several processes each is wrapped in `DistributedDataParallel`.
        forward_generator_step: that of `optimized_discriminators`, compiled if the networks are.
    """

    config: Config
    kind = "checkpoint"
    changeable_on_resume = CHANGEABLE_ON_RESUME

    def __init__(self, config: Config, device: torch.device) -> None:
        """Build everything from the configuration's seed, at step 0."""
        train = config.train
        super().__init__(config, device, train.seed)
        self.generator = Generator(config.generator, config.mel.n_mels).to(device)
        self.mpd = MultiPeriodDiscriminator(train.discriminator_width).to(device)
        self.msd = MultiScaleDiscriminator(train.discriminator_width).to(device)
        self.ema: Generator | None = None
        if train.ema_decay:
            self.ema = copy.deepcopy(self.generator).requires_grad_(requires_grad=False)
        # The official code has weight decay 0.01, torch's default.
        adamw_args = train.learning_rate, train.adam_betas, train.weight_decay
        self.optimizer_g = adamw(self.generator.parameters(), *adamw_args)
        self.optimizer_d = adamw([*self.mpd.parameters(), *self.msd.parameters()], *adamw_args)
        self.networks = {"generator": self.generator, "mpd": self.mpd, "msd": self.msd}
        if self.ema is not None:
            self.networks["ema"] = self.ema
        discriminators: dict[str, nn.Module] = {"mpd.": self.mpd, "msd.": self.msd}
        self.optimizers = {
            "optimizer_g": (self.optimizer_g, {"": self.generator}),
            "optimizer_d": (self.optimizer_d, discriminators),
        }
        # In fp32 the optimized form gains 3 % and rounds differently, which the logarithm of
        # near-silence amplifies; in bfloat16 it gains 12 to 30 %.
        bf16 = train.precision == "bf16"
        self.optimized_generator: nn.Module = (
            OptimizedGenerator(self.generator) if bf16 else self.generator
        )
        self.optimized_discriminators = OptimizedDiscriminators(self.mpd, self.msd)
        self.step_networks: dict[str, nn.Module] = {
            "generator": self.optimized_generator,
            "discriminators": self.optimized_discriminators,
        }
        self.forward_generator_step = self.optimized_discriminators.forward_generator_step

    @property
    def eval_generator(self) -> Generator:
        """The generator for validation and model files: the EMA if there is one."""
        return self.ema or self.generator

    def distribute(self) -> None:
        """Wrap the networks so that each backward pass averages gradients over the processes."""
        ids = [self.device] if self.device.type == "cuda" else None
        for name, network in self.step_networks.items():
            # Spectral norm's buffers depend only on the weights: all processes have the same.
            with warnings.catch_warnings():
                # torch 2.14 renames this option; 2.11 does not know the new name.
                warnings.filterwarnings("ignore", ".*broadcast_buffers", FutureWarning)
                self.step_networks[name] = DistributedDataParallel(
                    network, device_ids=ids, broadcast_buffers=False
                )

    def update_ema(self) -> None:
        """Update the EMA of the generator."""
        if self.ema is not None:
            update_ema(self.ema, self.generator, self.config.train.ema_decay)

    def reset_ema(self) -> None:
        """Reset the EMA to the current generator, after a warm start."""
        if self.ema is not None:
            self.ema.load_state_dict(self.generator.state_dict())
