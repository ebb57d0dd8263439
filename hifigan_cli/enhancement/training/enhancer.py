"""Train an enhancer: speech, noises and room impulse responses -> the folder of a run.

The pairs are rendered once, then the trainer runs its steps. Batches and learning rates depend only
on seed and step.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hifigan_cli.audio.mel import LOG_FLOOR
from hifigan_cli.data.gpu_dataset import to_device
from hifigan_cli.enhancement.augmentation.pairs_file import open_pairs
from hifigan_cli.enhancement.model_file import MODEL_FILE, EnhancerFile, write_enhancer
from hifigan_cli.enhancement.training.state import EnhancerState
from hifigan_cli.enhancement.training.step import enhancer_step
from hifigan_cli.enhancement.training.validation import validate_enhancer
from hifigan_cli.errors import InterruptedRunError
from hifigan_cli.io.files import create_folder
from hifigan_cli.io.tensor_file import arrays_of
from hifigan_cli.models.generator import count_parameters
from hifigan_cli.runtime.devices import describe_device
from hifigan_cli.runtime.distributed import DistributedContext
from hifigan_cli.runtime.environment import package_version
from hifigan_cli.runtime.signals import catch_stop_signals
from hifigan_cli.training.events import Rendering, Started
from hifigan_cli.training.loggers import MetricsLogger
from hifigan_cli.training.nonfinite_guard import NonfiniteGuard
from hifigan_cli.training.run_folder import RunFolder
from hifigan_cli.training.start import start_or_resume
from hifigan_cli.training.trainer import Trainer, TrainingTask, report_finished

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

    from hifigan_cli.enhancement.config import EnhancerTraining
    from hifigan_cli.enhancement.training.estimate import EnhancerTrainOptions
    from hifigan_cli.runtime.signals import StopSignal
    from hifigan_cli.training.events import EventCallback, Finished
    from hifigan_cli.training.trainer import ValidationResult
    from hifigan_cli.types import HalfArray

PAIRS_FOLDER = "pairs"
EnhancerBatch = tuple["Tensor", "Tensor"]


def train_enhancer(options: EnhancerTrainOptions, report: EventCallback) -> Finished:
    """Start or continue a run, and train up to its last step.

    Raises:
        InputError: speech or sounds cannot be read, or have changed since the start.
        UsageError: the sample rate of the speech differs from that of the mel.
        OutputError: the folder of the run is in use or cannot be written.
        ModelError: a checkpoint is damaged or has another recipe.
        DivergedError: gradients were not finite for many steps, also after going back.
        InterruptedRunError: a signal arrived; the current step was finished and saved.
    """
    sources, device = options.sources, options.device
    run = RunFolder(options.out, MODEL_FILE, keep_folder=PAIRS_FOLDER)
    context = DistributedContext(0, 1, device)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # otherwise calls without a device also use the first GPU
    data_digest = sources.digest()  # first, because it raises before any file is created
    with ExitStack() as stack:
        stop = stack.enter_context(catch_stop_signals())
        build = partial(EnhancerState, sources.run, sources.mel, device)
        state = start_or_resume(
            run, build, data_digest, context, report, stack, fresh=options.fresh
        )
        if state.step >= sources.run.training.steps:
            return report_finished(state, run, report, already_finished=True)
        pairs = run.path / PAIRS_FOLDER
        create_folder(pairs)
        progress = partial(_report_rendering, report, stop)
        task = EnhancerTask(state, run, *open_pairs(sources, pairs, options.workers, progress))
        metrics = stack.enter_context(closing(MetricsLogger(run.metrics, state.step, report)))
        return Trainer(task, run, data_digest, context, [metrics], report, stop).fit()


def _report_rendering(report: EventCallback, stop: StopSignal, done: int, pairs: int) -> None:
    """Report how many pairs are rendered; stop at once on a signal: partial files are useless."""
    report(Rendering(done, pairs))
    if stop.requested():
        raise InterruptedRunError(
            "stopped while rendering pairs",
            stop.signal_number,
            "run the same command to start over",
        )


class EnhancerTask(TrainingTask[EnhancerBatch]):
    """The training task of the enhancer, for the trainer."""

    state: EnhancerState
    intervals: EnhancerTraining
    keep_checkpoints = 2

    def __init__(
        self, state: EnhancerState, run: RunFolder, pairs: HalfArray, validation_pairs: HalfArray
    ) -> None:
        self.state, self.intervals = state, state.config.training
        self.guard = NonfiniteGuard(state.device)
        self.audio_s = self.intervals.batch_size * self.intervals.segment_frames
        self.audio_s *= state.mel.hop_length / state.mel.sample_rate
        self._run, self._pairs, self._validation_pairs = run, pairs, validation_pairs

    def started_event(self) -> Started:
        """Describe the run."""
        return Started(
            run=self._run.path,
            step=self.state.step,
            steps=self.intervals.steps,
            device=describe_device(self.state.device),
            precision="bf16",
            processes=1,
            training_clips=len(self._pairs),
            validation_clips=len(self._validation_pairs),
            batches_per_epoch=max(1, len(self._pairs) // self.intervals.batch_size),
            generator_parameters=count_parameters(self.state.enhancer),
        )

    def batches(self) -> Iterator[EnhancerBatch]:
        """Yield the remaining batches."""
        for step in range(self.state.step, self.intervals.steps):
            yield enhancer_batch(self._pairs, self.intervals, step, self.state.device)

    def set_learning_rate(self) -> float:
        """Set the learning rates of the step."""
        return self.state.set_learning_rate()

    def train_step(self, batch: EnhancerBatch) -> Mapping[str, Tensor]:
        """Run one training step."""
        return enhancer_step(self.state, *batch, self.guard)

    def validate(self, should_stop: Callable[[], bool]) -> ValidationResult | None:
        """Compare enhanced with clean log-mels."""
        return validate_enhancer(
            self.state.eval_enhancer, self._validation_pairs, self.state.device, should_stop
        )

    def write_model(self, path: Path, origin: dict[str, Any]) -> None:
        """Write the enhancer of the current state."""
        state = self.state
        provenance = {
            "source": f"hifigan train-enhancer {package_version('hifigan-cli')}",
            "recipe": state.config.model_dump(mode="json"),
            **origin,
        }
        weights = arrays_of(state.eval_enhancer.state_dict())
        write_enhancer(path, EnhancerFile(state.mel, state.config.enhancer, weights, provenance))


def enhancer_batch(
    pairs: HalfArray, training: EnhancerTraining, step: int, device: torch.device
) -> EnhancerBatch:
    """Return noisy and clean log-mels `(batch, n_mels, frames)`, which depend on seed and step.

    Shape of `pairs`: `(pairs, 2, frames, n_mels)`. The level of each pair is shifted by a random
    amount, the same for noisy and clean.
    """
    rng = np.random.default_rng((training.seed, step))
    indices = np.sort(rng.integers(len(pairs), size=training.batch_size))
    start = int(rng.integers(pairs.shape[2] - training.segment_frames + 1))
    segments = pairs[indices, :, start : start + training.segment_frames].astype(np.float32)
    levels = rng.uniform(-1, 1, (training.batch_size, 1, 1, 1)) * training.max_log_gain
    shifted = np.maximum(segments + levels.astype(np.float32), np.float32(LOG_FLOOR))
    both = to_device(torch.from_numpy(shifted).transpose(2, 3).contiguous(), device)
    return both[:, 0], both[:, 1]
