"""The options of a training command, and an estimate of the run before it starts."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from hifigan_cli.data.augmentation import create_batches
from hifigan_cli.errors import ModelError
from hifigan_cli.importers.model_lookup import locate_source
from hifigan_cli.io.tensor_file import read_description
from hifigan_cli.models import Generator, MultiPeriodDiscriminator, MultiScaleDiscriminator
from hifigan_cli.models.generator import count_parameters
from hifigan_cli.training.checkpoint import Checkpoint
from hifigan_cli.training.run_folder import RunFolder, checkpoint_step
from hifigan_cli.training.state import VocoderState

if TYPE_CHECKING:
    from pathlib import Path

    from hifigan_cli.config import Config
    from hifigan_cli.data.prepared import PreparedData

_BYTES_PER_PARAMETER = 12  # fp32 weight and two moments


@dataclass(frozen=True)
class TrainOptions:
    """The options of a training command.

    Attributes:
        config: the resolved configuration; `config.train.steps` is the total.
        prepared: the folder that `hifigan preprocess` wrote.
        out: the run folder; an unfinished run there is resumed.
        device: the device to train on; under torchrun on CUDA each process takes its own GPU.
        init: the model file, checkpoint, run folder or pretrained name that a new run starts from,
            or None; a resumed run ignores it.
        fresh: rename an existing run and start over.
        tensorboard: whether to write TensorBoard files; None writes them if it is installed.
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

    def resume_checkpoints(self) -> list[Path]:
        """List the checkpoints that the run can resume from, newest first; none for a new run."""
        return [] if self.fresh else RunFolder(self.out).list_checkpoints()

    def check_init(self) -> None:
        """Check that a new run can find `init`, without reading it.

        Raises:
            ModelError: `init` names no model; the hint lists the choices.
        """
        if self.init and not self.resume_checkpoints():
            locate_source(self.init)


@dataclass(frozen=True)
class TrainingEstimate:
    """The size and cost of a run."""

    run: Path
    first_step: int  # number of completed steps
    steps: int
    epochs: float
    training_clips: int
    training_hours: float
    validation_clips: int
    generator_parameters: int
    discriminator_parameters: int
    checkpoint_bytes: int
    total_checkpoint_bytes: int  # size of all checkpoints that a run keeps


def estimate(options: TrainOptions, data: PreparedData) -> TrainingEstimate:
    """Estimate the size and cost of a run, without touching its folder.

    Raises:
        UsageError: the data do not match the configuration.
        ModelError: the run is new and `init` names no model, or another configuration.
        InputError: the data differ from those of the run.
    """
    config, train = options.config, options.config.train
    batches = create_batches(data, config)  # checks that data and configuration match
    options.check_init()
    saved = options.resume_checkpoints()
    description = None
    if saved:
        with suppress(ModelError):  # damaged: training falls back to an earlier one
            description = read_description(saved[0])
    if description is not None:
        checkpoint = Checkpoint(saved[0], {}, description)
        checkpoint.check_same_run(config, data.digest, VocoderState.changeable_on_resume)
    with torch.device("meta"):  # sizes only: no memory, no random numbers
        generator = count_parameters(Generator(config.generator, config.mel.n_mels))
        discriminators = count_parameters(MultiPeriodDiscriminator(train.discriminator_width))
        discriminators += count_parameters(MultiScaleDiscriminator(train.discriminator_width))
    size = _BYTES_PER_PARAMETER * (generator + discriminators)
    size += 4 * generator if train.ema_decay else 0
    return TrainingEstimate(
        run=options.out,
        first_step=checkpoint_step(saved[0]) if saved else 0,
        steps=train.steps,
        epochs=train.steps / batches.batches_per_epoch,
        training_clips=len(data.training),
        training_hours=sum(clip.samples for clip in data.training) / data.sample_rate / 3600,
        validation_clips=train.overfit or min(len(data.validation), train.validation_clips),
        generator_parameters=generator,
        discriminator_parameters=discriminators,
        checkpoint_bytes=size,
        total_checkpoint_bytes=size * train.keep_checkpoints,
    )
