"""What a training command asks for, and what it would do, worked out before anything starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from hifigan_cli.data.augmentation import batches_of
from hifigan_cli.importers.model_lookup import locate_source
from hifigan_cli.models import Generator, MultiPeriodDiscriminator, MultiScaleDiscriminator
from hifigan_cli.models.generator import count_parameters
from hifigan_cli.training.run_folder import RunFolder, step_of

if TYPE_CHECKING:
    from pathlib import Path

    from hifigan_cli.config import Config
    from hifigan_cli.data.prepared import PreparedData

_BYTES_PER_PARAMETER = 12  # fp32 weight and two moments


@dataclass(frozen=True)
class TrainOptions:
    """What a training command asks for.

    Attributes:
        config: the resolved configuration; `config.train.steps` is the total.
        prepared: the folder that `hifigan preprocess` wrote.
        out: the run's folder; an unfinished run there is continued.
        device: where to train; under torchrun on CUDA each process takes its own GPU.
        init: the model file, checkpoint, run folder or pretrained name that a new run starts from,
            or None; a run that is continued ignores it.
        fresh: set an existing run aside and start over.
        tensorboard: None means where it is installed.
        wandb: a Weights & Biases project, or None.
    """

    config: Config
    prepared: Path
    out: Path
    device: torch.device
    init: str | None = None
    fresh: bool = False
    tensorboard: bool | None = None
    wandb: str | None = None

    def checkpoints(self) -> list[Path]:
        """List the checkpoints that the run continues from, newest first; none for a new run."""
        return [] if self.fresh else RunFolder(self.out).saved()

    def check_init(self) -> None:
        """Check that a new run finds what `init` names, without reading it.

        Raises:
            ModelError: nothing of that name; lists the choices.
        """
        if self.init and not self.checkpoints():
            locate_source(self.init)


@dataclass(frozen=True)
class TrainingEstimate:
    """What a training would do."""

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


def estimate(options: TrainOptions, data: PreparedData) -> TrainingEstimate:
    """Work out what a training would do, without touching the run's folder.

    Raises:
        UsageError: the data do not fit the configuration.
        ModelError: the run is new and `init` names nothing.
    """
    config, train = options.config, options.config.train
    batches = batches_of(data, config)  # checks that they fit
    options.check_init()
    saved = options.checkpoints()
    with torch.device("meta"):  # sizes only: no memory, no random numbers
        generator = count_parameters(Generator(config.generator, config.mel.n_mels))
        discriminators = count_parameters(MultiPeriodDiscriminator(train.discriminator_width))
        discriminators += count_parameters(MultiScaleDiscriminator(train.discriminator_width))
    size = _BYTES_PER_PARAMETER * (generator + discriminators)
    size += 4 * generator if train.ema_decay else 0
    return TrainingEstimate(
        run=options.out,
        first_step=step_of(saved[0]) if saved else 0,
        steps=train.steps,
        epochs=train.steps / batches.batches_per_epoch,
        training_clips=len(data.training),
        training_hours=sum(clip.samples for clip in data.training) / data.sample_rate / 3600,
        validation_clips=train.overfit or min(len(data.validation), train.validation_clips),
        generator_parameters=generator,
        discriminator_parameters=discriminators,
        checkpoint_bytes=size,
        kept_bytes=size * train.keep_checkpoints,
    )
