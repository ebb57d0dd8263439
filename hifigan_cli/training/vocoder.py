"""Train a vocoder: prepared data -> a run folder. `VocoderTask` is the task for the trainer."""

from __future__ import annotations

import os
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from hifigan_cli.data.augmentation import create_batches
from hifigan_cli.data.batches import load_batches
from hifigan_cli.data.gpu_dataset import GpuBatches, fits_in_gpu_memory
from hifigan_cli.data.prepared import open_prepared
from hifigan_cli.io.tensor_file import arrays_of
from hifigan_cli.models.generator import count_parameters
from hifigan_cli.models.model_file import ModelFile, write_model
from hifigan_cli.models.norms import fold_weight_norm
from hifigan_cli.runtime.devices import describe_device, emulates_bfloat16
from hifigan_cli.runtime.distributed import process_group
from hifigan_cli.runtime.environment import package_version
from hifigan_cli.runtime.signals import catch_stop_signals
from hifigan_cli.training.compiling import compile_networks
from hifigan_cli.training.cuda_graphs import GraphedStep, can_capture
from hifigan_cli.training.events import Started
from hifigan_cli.training.health_checks import HealthChecks
from hifigan_cli.training.loggers import open_loggers
from hifigan_cli.training.nonfinite_guard import NonfiniteGuard
from hifigan_cli.training.optimizers import decay_period, learning_rate, set_learning_rate
from hifigan_cli.training.progress import official_training
from hifigan_cli.training.run_folder import RunFolder
from hifigan_cli.training.start import start_or_resume
from hifigan_cli.training.state import VocoderState
from hifigan_cli.training.step import mel_transforms, train_step
from hifigan_cli.training.trainer import Trainer, TrainingTask, report_finished
from hifigan_cli.training.validation import ValidationSet, validate
from hifigan_cli.training.warm_start import read_source
from hifigan_cli.types import Notice

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
    """Start or resume a run and train up to its last step.

    Raises:
        UsageError, InputError: the data do not match the configuration, or changed since the start.
        OutputError: the run folder is in use or cannot be written.
        ModelError: a checkpoint or `init` is damaged or has another configuration.
        DivergedError: the gradients are not finite; the checkpoints are intact.
        InterruptedRunError: a signal arrived; the step was completed and saved.
    """
    config = options.config
    with ExitStack() as stack:
        stop = stack.enter_context(catch_stop_signals())
        context = stack.enter_context(process_group(options.device))
        report = report if context.is_main else lambda _event: None
        options.check_init()  # before reading the data, which takes minutes for a large corpus
        data = open_prepared(options.prepared)
        create_batches(
            data, config, context.rank, context.world_size
        )  # checks that data and configuration match
        data.verify(context.shard)  # each process verifies its shard
        configure_determinism(deterministic=config.train.deterministic)
        run = RunFolder(options.out)
        state = start_or_resume(
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
            return report_finished(state, run, report, already_finished=True)
        if context.world_size > 1:
            state.distribute()
        loggers, entries = (
            open_loggers(options, run, state.step, report, stack) if context.is_main else ([], ())
        )
        task = VocoderTask(state, data, run, context, report, entries)
        return Trainer(task, run, data.digest, context, loggers, report, stop).fit()


class VocoderTask(TrainingTask["Batch"]):
    """The training of a vocoder (paper sections 2 and 3) as a task for the trainer."""

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
        self._validation_set = ValidationSet(data, config)
        self._mels = mel_transforms(config, context.device)
        if self._validation_set.comparable:
            self.official = official_training(config)
        self.health_checks = HealthChecks(train, entries)

        args = data, config, context.rank, context.world_size
        on_gpu = fits_in_gpu_memory(data, context.device) and not train.augmented
        self._batches = GpuBatches(*args, context.device) if on_gpu else create_batches(*args)
        self._period = decay_period(train, self._batches.batches_per_epoch)

        def warn(message: str) -> None:
            report(Notice(message, warning=True))

        if train.precision == "bf16" and emulates_bfloat16(context.device):
            warn("this GPU does not support bfloat16; training is faster without --bf16")
        if train.compile:
            compile_networks(state, self._batches[state.step], self._mels, warn)
        self._step: Callable[[Batch], Losses] = (
            GraphedStep(state, self._mels, self.guard, warn)
            if can_capture(state)
            else lambda batch: train_step(state, batch, self._mels, self.guard)
        )

    def started_event(self) -> Started:
        """Return the event that describes the run."""
        train = self.state.config.train
        return Started(
            run=self._run.path,
            step=self.state.step,
            steps=train.steps,
            device=describe_device(self.state.device),
            precision=train.precision,
            processes=self._context.world_size,
            training_clips=len(self._data.training),
            validation_clips=len(self._validation_set),
            batches_per_epoch=self._batches.batches_per_epoch,
            generator_parameters=count_parameters(self.state.generator),
        )

    def batches(self) -> Iterator[Batch]:
        """Yield the remaining batches; threads prefetch them."""
        train = self.state.config.train
        return load_batches(self._batches, self.state.step, train.steps, train.workers)

    def set_learning_rate(self) -> float:
        """Set the learning rate of both optimizers."""
        lr = learning_rate(self.state.config.train, self._period, self.state.step)
        set_learning_rate(self.state.optimizer_g, lr)
        set_learning_rate(self.state.optimizer_d, lr)
        return lr

    def train_step(self, batch: Batch) -> Mapping[str, Tensor]:
        """Perform one step, as a CUDA graph where possible."""
        return self._step(batch)._asdict()

    def validate(self, should_stop: Callable[[], bool]) -> ValidationResult | None:
        """Measure the error on complete clips."""
        return validate(self.state, self._validation_set, self._mels, self._context, should_stop)

    def write_model(self, path: Path, origin: dict[str, Any]) -> None:
        """Write the current generator with folded weight norm."""
        state, config = self.state, self.state.config
        weights = {key: value.cpu() for key, value in state.eval_generator.state_dict().items()}
        provenance = {
            "name": self._run.path.resolve().name,
            "source": f"hifigan train {package_version('hifigan-cli')}",
            "seed": config.train.seed,
            **origin,
        }
        arrays = arrays_of(fold_weight_norm(weights))
        write_model(path, ModelFile(config.mel, config.generator, arrays, provenance=provenance))


def configure_determinism(*, deterministic: bool) -> None:
    """Allow cuDNN to use any algorithms, or only deterministic ones.

    cuDNN chooses them by heuristics. Its benchmark mode took 32 s for a step of V1 on an H100 and
    made it 12 % faster; for inference it found nothing faster. torch warns if it has no
    deterministic algorithm. Algorithms on the CPU are always deterministic.
    """
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = deterministic
    if torch.are_deterministic_algorithms_enabled() != deterministic:  # the call takes seconds
        torch.use_deterministic_algorithms(mode=deterministic, warn_only=True)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
