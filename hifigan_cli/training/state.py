"""All that changes while a vocoder is trained: three networks, two optimisers, an average, a step.

What the step function needs and what a checkpoint holds is this one object.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import get_ema_multi_avg_fn

from hifigan_cli.models import Generator, MultiPeriodDiscriminator, MultiScaleDiscriminator
from hifigan_cli.models.optimized import OptimizedDiscriminators, OptimizedGenerator

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hifigan_cli.config import Config, TrainConfig

NETWORKS = ("generator", "mpd", "msd")


@dataclass
class Best:
    """The lowest validation error so far, and the step it was reached at."""

    step: int
    mel_l1_full: float


class TrainState:
    """A run at one step.

    Attributes:
        generator, mpd, msd: the networks, with weight norm, as checkpoints name them.
        average: the generator's exponential moving average, or None where none is kept.
        optimizer_g, optimizer_d: AdamW of the generator, and of both discriminators together.
        step: steps done.
        best: the best validation so far, or None.
        maker, judges: the same networks, arranged for the speed of a step.
        forward: `generator` and `judges` as a step calls them: those two, or
            `DistributedDataParallel` around each where there are several processes.
        compare: `judges.compare`, compiled where the rest is.
    """

    def __init__(self, config: Config, device: torch.device) -> None:
        """Build everything from the configuration's seed, at step 0."""
        self.config = config
        self.device = device
        torch.manual_seed(config.train.seed)
        self.generator = Generator(config.generator, config.mel.n_mels).to(device)
        self.mpd = MultiPeriodDiscriminator(config.train.discriminator_width).to(device)
        self.msd = MultiScaleDiscriminator(config.train.discriminator_width).to(device)
        self.average: Generator | None = None
        if config.train.ema_decay:
            self.average = copy.deepcopy(self.generator).requires_grad_(requires_grad=False)
        self.optimizer_g = adamw(self.generator.parameters(), config.train)
        self.optimizer_d = adamw([*self.mpd.parameters(), *self.msd.parameters()], config.train)
        self.step = 0
        self.best: Best | None = None
        # In single precision the other order gains 3 % and rounds otherwise, which the logarithm of
        # a near silence makes much of; in bfloat16 it gains 12 to 30 %.
        half = config.train.precision == "bf16"
        self.maker: nn.Module = OptimizedGenerator(self.generator) if half else self.generator
        self.judges = OptimizedDiscriminators(self.mpd, self.msd)
        self.forward: dict[str, nn.Module] = {"generator": self.maker, "judges": self.judges}
        self.compare = self.judges.compare

    def distribute(self) -> None:
        """Wrap the networks so that each backward pass averages gradients over the processes."""
        ids = [self.device] if self.device.type == "cuda" else None
        for name, network in self.forward.items():
            # Spectral norm's buffers depend on the weights alone, so all processes have the same.
            with warnings.catch_warnings():
                # torch 2.14 has a new name for the option, which 2.11 does not know.
                warnings.filterwarnings("ignore", ".*broadcast_buffers", FutureWarning)
                self.forward[name] = DistributedDataParallel(
                    network, device_ids=ids, broadcast_buffers=False
                )

    @property
    def listener(self) -> Generator:
        """The generator that is validated and published: the average where one is kept."""
        return self.average or self.generator

    @torch.no_grad()
    def follow(self) -> None:
        """Move the average towards the generator by one step."""
        if self.average is not None:
            # torch leaves it unannotated.
            blend = get_ema_multi_avg_fn(self.config.train.ema_decay)  # type: ignore[no-untyped-call]
            blend(list(self.average.parameters()), list(self.generator.parameters()), 0)

    def restart_average(self) -> None:
        """Let the average start from the generator as it is now, after a warm start."""
        if self.average is not None:
            self.average.load_state_dict(self.generator.state_dict())


def adamw(parameters: Iterable[nn.Parameter], config: TrainConfig) -> torch.optim.AdamW:
    """Make the paper's optimiser; weight decay 0.01 is what the official code inherits."""
    return torch.optim.AdamW(
        parameters,
        lr=config.learning_rate,
        betas=config.adam_betas,
        weight_decay=config.weight_decay,
        fused=True,  # one kernel a network; the arithmetic is the same
    )
