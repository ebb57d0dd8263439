"""Training a vocoder: prepared data -> a run's folder. What the trainer needs to know of it."""

from __future__ import annotations

import os
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from hifigan_cli.data.augmentation import batches_of
from hifigan_cli.data.batches import load_batches
from hifigan_cli.data.gpu_dataset import GpuBatches, fits
from hifigan_cli.data.prepared import open_prepared
from hifigan_cli.io.tensor_file import arrays_of
from hifigan_cli.models.generator import count_parameters
from hifigan_cli.models.model_file import ModelFile, write_model
from hifigan_cli.models.norms import folded
from hifigan_cli.runtime.devices import device_title, emulates_bfloat16
from hifigan_cli.runtime.distributed import process_group
from hifigan_cli.runtime.environment import package_version
from hifigan_cli.runtime.signals import stop_signals
from hifigan_cli.training.compiling import compile_networks
from hifigan_cli.training.cuda_graphs import GraphedStep, usable
from hifigan_cli.training.events import Noted, Started
from hifigan_cli.training.health_checks import HealthChecks
from hifigan_cli.training.loggers import open_loggers
from hifigan_cli.training.nonfinite_guard import NonfiniteGuard
from hifigan_cli.training.optimizers import decay_period, learning_rate, set_learning_rate
from hifigan_cli.training.progress import official_training
from hifigan_cli.training.run_folder import RunFolder
from hifigan_cli.training.start import begin
from hifigan_cli.training.state import VocoderState
from hifigan_cli.training.step import mel_transforms, train_step
from hifigan_cli.training.trainer import Trainer, TrainingTask, report_finished
from hifigan_cli.training.validation import Utterances, validate
from hifigan_cli.training.warm_start import read_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

    from hifigan_cli.config import TrainConfig
    from hifigan_cli.data.batches import Batch
    from hifigan_cli.data.prepared import PreparedData
    from hifigan_cli.runtime.distributed import DistributedContext
    from hifigan_cli.training.estimate import TrainOptions
    from hifigan_cli.training.events import EventCallback, Finished
    from hifigan_cli.training.step import Losses
    from hifigan_cli.training.trainer import ValidationResult


def train(options: TrainOptions, report: EventCallback) -> Finished:
    """Start the run, or continue it, up to its last step.

    Raises:
        UsageError, InputError: the data do not fit the configuration, or changed since the start.
        OutputError: the run's folder is in use or cannot be written.
        ModelError: a checkpoint or `init` is damaged or of another configuration.
        DivergedError: the losses or gradients are not finite; the checkpoints are intact.
        InterruptedRunError: a signal came; the step was finished and saved.
    """
    config = options.config
    with ExitStack() as stack:
        stop = stack.enter_context(stop_signals())
        context = stack.enter_context(process_group(options.device))
        report = report if context.main else lambda _event: None
        options.check_init()  # before the data are read, which takes minutes for a large corpus
        data = open_prepared(options.prepared)
        batches_of(data, config, context.rank, context.world)  # checks that they fit
        data.verify(context.part)  # between them the processes read it all
        choose_algorithms(deterministic=config.train.deterministic)
        run = RunFolder(options.out)
        state = begin(
            run,
            partial(VocoderState, config, context.device),
            data.digest,
            context,
            report,
            stack,
            init=partial(read_source, options.init, config) if options.init else None,
            fresh=options.fresh,
        )
        if state.step >= config.train.steps:
            return report_finished(state, run, report, already=True)
        if context.world > 1:
            state.distribute()
        loggers, entries = (
            open_loggers(options, run, state.step, report, stack) if context.main else ([], ())
        )
        task = VocoderTask(state, data, run, context, report, entries)
        return Trainer(task, run, data.digest, context, loggers, report, stop).fit()


class VocoderTask(TrainingTask["Batch"]):
    """The vocoder's training (paper sections 2 and 3), as the trainer calls it."""

    state: VocoderState
    intervals: TrainConfig

    def __init__(
        self,
        state: VocoderState,
        data: PreparedData,
        run: RunFolder,
        context: DistributedContext,
        report: EventCallback,
        entries: Iterable[Mapping[str, Any]],
    ) -> None:
        config, train = state.config, state.config.train
        self.state = state
        self.intervals = train
        self.audio_s = (train.overfit or train.batch_size) * train.segment_size
        self.audio_s /= config.mel.sample_rate
        self.keep_checkpoints = train.keep_checkpoints
        self.guard = NonfiniteGuard(context.device)
        self._run, self._data, self._context = run, data, context
        self._utterances = Utterances(data, config)
        self._mels = mel_transforms(config, context.device)
        if self._utterances.comparable:
            self.official = official_training(config)
        self.health = HealthChecks(train, entries)

        share = data, config, context.rank, context.world
        resident = fits(data, context.device) and not train.varied
        self._batches = GpuBatches(*share, context.device) if resident else batches_of(*share)
        self._period = decay_period(train, self._batches.batches_per_epoch)

        def warn(message: str) -> None:
            report(Noted(message, warning=True))

        if train.precision == "bf16" and emulates_bfloat16(context.device):
            warn("this GPU has no bfloat16: fp32 (leave --bf16 out) is faster")
        if train.compile:
            compile_networks(state, self._batches[state.step], self._mels, warn)
        self._step: Callable[[Batch], Losses] = (
            GraphedStep(state, self._mels, self.guard, warn)
            if usable(state)
            else lambda batch: train_step(state, batch, self._mels, self.guard)
        )

    def started(self) -> Started:
        """Describe the run."""
        train = self.state.config.train
        return Started(
            run=self._run.path,
            step=self.state.step,
            steps=train.steps,
            device=device_title(self.state.device),
            precision=train.precision,
            processes=self._context.world,
            training_clips=len(self._data.training),
            validation_clips=len(self._utterances),
            batches_per_epoch=self._batches.batches_per_epoch,
            generator_parameters=count_parameters(self.state.generator),
        )

    def batches(self) -> Iterator[Batch]:
        """Yield the remaining batches, read ahead by threads."""
        train = self.state.config.train
        return load_batches(self._batches, self.state.step, train.steps, train.workers)

    def set_learning_rate(self) -> float:
        """Set the rate of both optimizers."""
        rate = learning_rate(self.state.config.train, self._period, self.state.step)
        set_learning_rate(self.state.optimizer_g, rate)
        set_learning_rate(self.state.optimizer_d, rate)
        return rate

    def train_step(self, batch: Batch) -> Mapping[str, Tensor]:
        """Make one step, as a CUDA graph where that works."""
        return self._step(batch)._asdict()

    def validate(self, stopping: Callable[[], bool]) -> ValidationResult | None:
        """Compare complete clips."""
        return validate(self.state, self._utterances, self._mels, self._context, stopping)

    def write_model(self, path: Path, origin: dict[str, Any]) -> None:
        """Write the vocoder that a state amounts to, weight norm folded."""
        state, config = self.state, self.state.config
        weights = {key: value.cpu() for key, value in state.published.state_dict().items()}
        provenance = {
            "name": self._run.path.resolve().name,
            "source": f"hifigan train {package_version('hifigan-cli')}",
            "seed": config.train.seed,
            **origin,
        }
        plain = arrays_of(folded(weights))
        write_model(path, ModelFile(config.mel, config.generator, plain, provenance=provenance))


def choose_algorithms(*, deterministic: bool) -> None:
    """Let cuDNN choose any algorithms, or only those that give the same bits each time.

    It chooses by its heuristics. A search by trial took 32 s for a step of V1 on an H100, which was
    then 12 % faster; for synthesis it found nothing faster. torch warns where it has no
    deterministic algorithm. The CPU's are deterministic as they are.
    """
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = deterministic
    if torch.are_deterministic_algorithms_enabled() != deterministic:  # the call takes seconds
        torch.use_deterministic_algorithms(mode=deterministic, warn_only=True)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
