"""All that changes while a network is trained, and what a checkpoint holds, as one object.

`TrainingState` is what the trainer knows of it; `VocoderState` has the paper's three networks.
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

from hifigan_cli.config.schema import FREE_ON_RESUME
from hifigan_cli.models import Generator, MultiPeriodDiscriminator, MultiScaleDiscriminator
from hifigan_cli.models.optimized import OptimizedDiscriminators, OptimizedGenerator
from hifigan_cli.training.optimizers import adamw

if TYPE_CHECKING:
    from pydantic import BaseModel
    from torch.optim import Optimizer

    from hifigan_cli.config import Config


@dataclass
class Best:
    """The lowest validation error so far, and the step it was reached at."""

    step: int
    mel_l1_full: float


class TrainingState:
    """A run at one step, as the trainer and a checkpoint know it.

    Attributes:
        kind: how its checkpoints call themselves.
        free_on_resume: the configuration keys that a resumed run may change.
        config: everything that the run depends on.
        step: steps done.
        best: the best validation so far, or None.
        networks: every network, the moving average included, by its name in a checkpoint.
        optimizers: every optimizer by its name there, with its networks by their prefixes.
    """

    kind: ClassVar[str]
    free_on_resume: ClassVar[frozenset[str]]
    config: BaseModel
    networks: dict[str, nn.Module]
    optimizers: dict[str, tuple[Optimizer, dict[str, nn.Module]]]

    def __init__(self, config: BaseModel, device: torch.device, seed: int) -> None:
        self.config, self.device = config, device
        self.step = 0
        self.best: Best | None = None
        torch.manual_seed(seed)

    def zero_grad(self) -> None:
        """Clear the gradients of all networks."""
        for network in self.networks.values():
            network.zero_grad()

    def prepare_restore(self, step: int) -> None:
        """Get ready for the tensors of a checkpoint of this step."""

    def rolled_back(self, before: int) -> None:
        """Take note that the weights are those of an earlier step now."""


@torch.no_grad()
def update_ema(ema: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the moving average of a network's weights towards them by one step."""
    blend = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # torch's
    blend(list(ema.parameters()), list(network.parameters()), 0)


class VocoderState(TrainingState):
    """The paper's networks, two optimizers, a moving average.

    Attributes:
        generator, mpd, msd: the networks, with weight norm, as checkpoints name them.
        ema: the generator's exponential moving average, or None where none is kept.
        optimizer_g, optimizer_d: AdamW of the generator, and of both discriminators together.
        optimized_generator, optimized_discriminators: the same networks, arranged for speed.
        forward: `generator` and `discriminators` as a step calls them: those two, or
            `DistributedDataParallel` around each where there are several processes.
        compare: `optimized_discriminators.compare`, compiled where the rest is.
    """

    config: Config
    kind = "checkpoint"
    free_on_resume = FREE_ON_RESUME

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
        # Weight decay 0.01 is what the official code inherits.
        recipe = train.learning_rate, train.adam_betas, train.weight_decay
        self.optimizer_g = adamw(self.generator.parameters(), *recipe)
        self.optimizer_d = adamw([*self.mpd.parameters(), *self.msd.parameters()], *recipe)
        self.networks = {"generator": self.generator, "mpd": self.mpd, "msd": self.msd}
        if self.ema is not None:
            self.networks["ema"] = self.ema
        discriminators: dict[str, nn.Module] = {"mpd.": self.mpd, "msd.": self.msd}
        self.optimizers = {
            "optimizer_g": (self.optimizer_g, {"": self.generator}),
            "optimizer_d": (self.optimizer_d, discriminators),
        }
        # In single precision the other order gains 3 % and rounds otherwise, which the logarithm of
        # a near silence magnifies; in bfloat16 it gains 12 to 30 %.
        half = train.precision == "bf16"
        self.optimized_generator: nn.Module = (
            OptimizedGenerator(self.generator) if half else self.generator
        )
        self.optimized_discriminators = OptimizedDiscriminators(self.mpd, self.msd)
        self.forward: dict[str, nn.Module] = {
            "generator": self.optimized_generator,
            "discriminators": self.optimized_discriminators,
        }
        self.compare = self.optimized_discriminators.compare

    @property
    def published(self) -> Generator:
        """The generator that is validated and published: the moving average where one is kept."""
        return self.ema or self.generator

    def distribute(self) -> None:
        """Wrap the networks so that each backward pass averages gradients over the processes."""
        ids = [self.device] if self.device.type == "cuda" else None
        for name, network in self.forward.items():
            # Spectral norm's buffers depend on the weights only, so all processes have the same.
            with warnings.catch_warnings():
                # torch 2.14 has a new name for the option, which 2.11 does not know.
                warnings.filterwarnings("ignore", ".*broadcast_buffers", FutureWarning)
                self.forward[name] = DistributedDataParallel(
                    network, device_ids=ids, broadcast_buffers=False
                )

    def update_ema(self) -> None:
        """Move the average towards the generator by one step."""
        if self.ema is not None:
            update_ema(self.ema, self.generator, self.config.train.ema_decay)

    def restart_ema(self) -> None:
        """Let the average start from the generator as it is now, after a warm start."""
        if self.ema is not None:
            self.ema.load_state_dict(self.generator.state_dict())
