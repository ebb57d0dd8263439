"""Validate on complete clips outside the training set: mel_l1_full, and audio to listen to.

The generator renders each clip from its mel. The log-mel of the result up to Nyquist is compared
with that of the recording; the official training plots the same error. With `overfit` the fixed
segments replace the clips, because the question is then how well they can be memorized.

The losses of a step are sums over all eight sub-discriminators, which would hide a dead one. So
each validation scores a few segments with every sub-discriminator separately; steps do not have to
wait for this. Validation does not change the training state: it computes no gradients and no power
iteration of spectral norm.
"""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from hifigan_cli.data.augmentation import create_batches
from hifigan_cli.models.losses import mel_loss
from hifigan_cli.training.health_checks import DISCRIMINATOR_NAMES
from hifigan_cli.training.trainer import ValidationResult
from hifigan_cli.training.validation_audio import ValidationClip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hifigan_cli.config import Config
    from hifigan_cli.data.prepared import PreparedData
    from hifigan_cli.runtime.distributed import DistributedContext
    from hifigan_cli.training.state import VocoderState
    from hifigan_cli.training.step import MelTransforms

_SCORED_CLIPS = 8  # this many validation clips are scored, over all processes
_SUMS = 4  # per discriminator
_MIN_POWER = 1e-6  # keeps the level of digital silence finite


class ValidationItem(NamedTuple):
    """A validation clip `(samples,)`, and its mel `(n_mels, frames)` if the data contain one."""

    name: str
    samples: Tensor
    mel: Tensor | None


class ValidationSet:
    """The validation clips of a run in a fixed order; each is read on access."""

    def __init__(self, data: PreparedData, config: Config) -> None:
        self._data = data
        self._clips = list(data.validation[: config.train.validation_clips])
        self._segments = _fixed_segments(data, config) if config.train.overfit else []

    @property
    def comparable(self) -> bool:
        """Whether validation matches the official one: unseen clips, mels of the recordings."""
        return not (self._segments or self._data.has_mels)

    def __len__(self) -> int:
        return len(self._segments) or len(self._clips)

    def __getitem__(self, index: int) -> ValidationItem:
        if self._segments:
            return self._segments[index]
        clip = self._clips[index]
        samples = torch.from_numpy(self._data.samples(clip))
        if not self._data.has_mels:
            return ValidationItem(clip.name, samples, None)
        return ValidationItem(clip.name, samples, torch.from_numpy(self._data.input_mel(clip)).T)


def _fixed_segments(data: PreparedData, config: Config) -> list[ValidationItem]:
    samples, mels = create_batches(data, config)[0]
    return [
        ValidationItem(f"segment_{index}", samples[index], None if mels is None else mels[index])
        for index in range(len(samples))
    ]


@torch.no_grad()
def validate(
    state: VocoderState,
    validation_set: ValidationSet,
    mels: MelTransforms,
    context: DistributedContext,
    should_stop: Callable[[], bool] = lambda: False,
) -> ValidationResult | None:
    """Generate all clips and measure their errors; return None if `should_stop` or without clips.

    The clips are distributed over the processes. mel_l1_full is the mean over clips of the L1
    distance between log-mels up to Nyquist. level_db is the power of the generated clips relative
    to the recordings, both without their means. The other metrics are the scores of each
    sub-discriminator.
    """
    started = time.monotonic()
    total, count, stopped = 0.0, 0, 0
    powers, statistics = (0.0, 0.0), DiscriminatorStatistics()
    audio: list[ValidationClip] = []
    for index in range(context.rank, len(validation_set), context.world_size):
        if should_stop():
            stopped = 1
            break
        clip = generate_clip(state, validation_set[index], mels)
        total += mel_loss(clip.recording_mel, clip.generated_mel).item()
        count += 1
        powers = powers[0] + _power(clip.generated), powers[1] + _power(clip.recording)
        if index < _SCORED_CLIPS:
            statistics.add(state, clip.recording, clip.generated)
        if index < state.config.train.logged_clips:
            audio.append(clip)
    sums = context.sum((total, count, stopped, *powers, *statistics.sums()))
    total, clips, any_stopped, generated, recorded, *scores = sums
    if any_stopped or not clips:
        return None
    level_db = 10 * math.log10((generated + _MIN_POWER) / (recorded + _MIN_POWER))
    return ValidationResult(
        metrics={"mel_l1_full": total / clips},
        clips=int(clips),
        elapsed_s=time.monotonic() - started,
        details={"level_db": level_db, **mean_statistics(scores)},
        audio=audio,
    )


def _power(samples: Tensor) -> float:
    """Return the sum of squares of `(samples,)` without their mean, which is 0 for a constant."""
    return float(((samples - samples.mean()) ** 2).sum())


def generate_clip(state: VocoderState, item: ValidationItem, mels: MelTransforms) -> ValidationClip:
    """Generate one clip from its mel in full precision."""
    samples = item.samples.to(state.device)[None]
    mel = mels.input_mel(samples) if item.mel is None else item.mel.to(state.device)[None]
    hop = state.config.mel.hop_length
    frames = min(mel.shape[-1], samples.shape[-1] // hop)
    recording = samples[:, : frames * hop]
    # Prevents TF32, and the benchmarking of cuDNN's algorithms for each clip length.
    with torch.backends.cudnn.flags(
        enabled=True, deterministic=torch.backends.cudnn.deterministic, allow_tf32=False
    ):
        # `forward` bypasses torch.compile, which would recompile for each clip length.
        generated = state.eval_generator.forward(mel[..., :frames])[:, 0]
    parts = (recording, generated, mels.full_band(recording), mels.full_band(generated))
    return ValidationClip(item.name, *(part[0].float().cpu() for part in parts))


class DiscriminatorStatistics:
    """Accumulates statistics of the sub-discriminators' scores over clips."""

    def __init__(self) -> None:
        self._clips = 0
        self._sums = torch.zeros(len(DISCRIMINATOR_NAMES), _SUMS, dtype=torch.float64)

    @torch.no_grad()
    def add(self, state: VocoderState, recording: Tensor, generated: Tensor) -> None:
        """Score the middle segment of a recorded and a generated clip `(samples,)`.

        A clip shorter than a training segment is ignored.
        """
        segment = state.config.train.segment_size
        if recording.shape[-1] < segment:
            return
        start = (recording.shape[-1] - segment) // 2
        pair = torch.stack([recording, generated])[:, None, start : start + segment]
        with eval_mode(state.mpd, state.msd):
            outputs = [*state.mpd(pair.to(state.device)), *state.msd(pair.to(state.device))]
        for sums, output in zip(self._sums, outputs, strict=True):
            scores = output.scores.cpu().double()
            scores_y, scores_y_hat = scores
            terms = ((1 - scores_y) ** 2, scores_y_hat**2, scores, scores**2)
            sums += torch.stack([term.mean() for term in terms])
        self._clips += 1

    def sums(self) -> list[float]:
        """Return all sums in a fixed order, to be added up over the processes."""
        return [float(self._clips), *self._sums.flatten().tolist()]


def mean_statistics(sums: Sequence[float]) -> dict[str, float]:
    """Return three means over clips for each sub-discriminator; without clips return nothing.

    `period_2.real` and `period_2.fake` are the two terms of its least-squares loss. At chance, when
    all scores are 0.5, each is 0.25; for a perfect discriminator both are near 0.
    `period_2.spread` is the standard deviation of its scores over recordings and generated audio:
    0 if all scores are equal.
    """
    clips, *rest = sums
    if not clips:
        return {}
    metrics = {}
    for index, name in enumerate(DISCRIMINATOR_NAMES):
        means = [value / clips for value in rest[index * _SUMS : (index + 1) * _SUMS]]
        metrics[f"{name}.real"], metrics[f"{name}.fake"], mean, square = means
        metrics[f"{name}.spread"] = math.sqrt(max(square - mean**2, 0.0))
    return metrics


@contextmanager
def eval_mode(*networks: nn.Module) -> Iterator[None]:
    """Set networks to evaluation mode, in which a forward pass changes no buffers."""
    modes = [network.training for network in networks]
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for network, training in zip(networks, modes, strict=True):
            network.train(training)
