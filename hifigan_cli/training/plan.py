"""What a training command asks for and would do, worked out before anything starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from hifigan_cli.data.augmentation import batches_of
from hifigan_cli.models import Generator, MultiPeriodDiscriminator, MultiScaleDiscriminator
from hifigan_cli.models.generator import count_parameters
from hifigan_cli.training.records.folder import RunFolder

if TYPE_CHECKING:
    from pathlib import Path

    from hifigan_cli.config import Config
    from hifigan_cli.data.prepared import PreparedData

_BYTES_A_PARAMETER = 12  # fp32 weight and two moments


@dataclass(frozen=True)
class Plan:
    """One training command.

    Attributes:
        config: the resolved configuration; `config.train.steps` is the total.
        prepared: the folder that `hifigan preprocess` made.
        out: the run's folder; an unfinished run there is continued.
        device: where to train; under torchrun on CUDA each process takes its own GPU.
        init: a model file, checkpoint or run folder to start from, or None.
        fresh: set an existing run aside and start anew.
        tensorboard: None means where it is installed.
        wandb: a Weights & Biases project, or None.
    """

    config: Config
    prepared: Path
    out: Path
    device: torch.device
    init: Path | None = None
    fresh: bool = False
    tensorboard: bool | None = None
    wandb: str | None = None


@dataclass(frozen=True)
class TrainingEstimate:
    """What a plan would do."""

    run: Path
    first_step: int  # steps already done
    steps: int
    epochs: float
    training_clips: int
    training_hours: float
    validation_clips: int
    generator_parameters: int
    discriminator_parameters: int
    checkpoint_bytes: int
    kept_bytes: int  # all checkpoints that are kept


def outlook(plan: Plan, data: PreparedData) -> TrainingEstimate:
    """Work out what a plan would do; touches nothing.

    Raises:
        UsageError: the data do not fit the configuration.
    """
    batches = batches_of(data, plan.config)  # checks that they fit
    train = plan.config.train
    saved = [] if plan.fresh else RunFolder(plan.out).saved()
    first = int(saved[0].stem.removeprefix("step_")) if saved else 0
    with torch.device("meta"):  # sizes only: no memory, no random numbers
        generator = count_parameters(Generator(plan.config.generator, plan.config.mel.n_mels))
        judges = count_parameters(MultiPeriodDiscriminator(train.discriminator_width))
        judges += count_parameters(MultiScaleDiscriminator(train.discriminator_width))
    size = _BYTES_A_PARAMETER * (generator + judges) + (4 * generator if train.ema_decay else 0)
    return TrainingEstimate(
        run=plan.out,
        first_step=first,
        steps=train.steps,
        epochs=train.steps / batches.batches_per_epoch,
        training_clips=len(data.training),
        training_hours=sum(clip.samples for clip in data.training) / data.rate_hz / 3600,
        validation_clips=min(len(data.validation), train.validation_clips),
        generator_parameters=generator,
        discriminator_parameters=judges,
        checkpoint_bytes=size,
        kept_bytes=size * train.keep_checkpoints,
    )
