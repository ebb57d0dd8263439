"""Complete clips that the training does not see: mel_l1_full, and samples to listen to.

The generator reads each clip's mel, and the result's log-mel up to Nyquist is compared with the
recording's. The official training plots the same figure. With `overfit` the fixed segments take the
place of the clips: there the question is how far they can be learned by heart.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from hifigan_cli.data.augmentation import batches_of
from hifigan_cli.models.losses import mel_loss
from hifigan_cli.training import discriminator_statistics
from hifigan_cli.training.discriminator_statistics import DiscriminatorStatistics
from hifigan_cli.training.trainer import Validation
from hifigan_cli.training.validation_audio import ValidationClip

if TYPE_CHECKING:
    from collections.abc import Callable

    from hifigan_cli.config import Config
    from hifigan_cli.data.prepared import PreparedData
    from hifigan_cli.runtime.distributed import DistributedContext
    from hifigan_cli.training.state import VocoderState
    from hifigan_cli.training.step import MelTransforms

_NO_POWER = 1e-6  # keeps the level of digital silence a number


class Utterance(NamedTuple):
    """A clip to validate on: `(samples,)`, and its mel `(n_mels, frames)` if the data have one."""

    name: str
    samples: Tensor
    mel: Tensor | None


class Utterances:
    """The clips that a run validates on, in a fixed order; each is read when asked for."""

    def __init__(self, data: PreparedData, config: Config) -> None:
        self._data = data
        self._clips = list(data.validation[: config.train.validation_clips])
        self._fixed = _fixed_segments(data, config) if config.train.overfit else []

    @property
    def comparable(self) -> bool:
        """Whether unseen clips are generated from their own mels, as in the official validation."""
        return not (self._fixed or self._data.has_mels)

    def __len__(self) -> int:
        return len(self._fixed) or len(self._clips)

    def __getitem__(self, index: int) -> Utterance:
        if self._fixed:
            return self._fixed[index]
        clip = self._clips[index]
        samples = torch.from_numpy(self._data.samples(clip))
        if not self._data.has_mels:
            return Utterance(clip.name, samples, None)
        return Utterance(clip.name, samples, torch.from_numpy(self._data.given_mel(clip)).T)


def _fixed_segments(data: PreparedData, config: Config) -> list[Utterance]:
    batch = batches_of(data, config)[0]
    mels = [None] * len(batch.samples) if batch.mels is None else batch.mels
    return [
        Utterance(f"segment_{place}", samples, mel)
        for place, (samples, mel) in enumerate(zip(batch.samples, mels, strict=True))
    ]


@torch.no_grad()
def validate(
    state: VocoderState,
    utterances: Utterances,
    mels: MelTransforms,
    context: DistributedContext,
    stopping: Callable[[], bool] = lambda: False,
) -> Validation | None:
    """Generate every clip and compare; None if a signal came or there are no clips.

    The processes take the clips in turn. Besides mel_l1_full, the mean over clips of the L1 between
    log-mels up to Nyquist, it measures level_db, the power of the generated clips against that of
    the recordings (both without their means), and what each sub-discriminator answers.
    """
    started = time.monotonic()
    total, count, stopped = 0.0, 0, 0
    powers, statistics = (0.0, 0.0), DiscriminatorStatistics()
    audio: list[ValidationClip] = []
    for index in range(context.rank, len(utterances), context.world):
        if stopping():
            stopped = 1
            break
        clip = generate_clip(state, utterances[index], mels)
        total += mel_loss(clip.recording_mel, clip.generated_mel).item()
        count += 1
        powers = powers[0] + _power(clip.generated), powers[1] + _power(clip.recording)
        if index < discriminator_statistics.CLIPS:
            statistics.add(state, clip.recording, clip.generated)
        if index < state.config.train.sample_clips:
            audio.append(clip)
    sums = context.sums((total, count, stopped, *powers, *statistics.sums()))
    total, clips, any_stopped, generated, recorded, *scores = sums
    if any_stopped or not clips:
        return None
    level_db = 10 * math.log10((generated + _NO_POWER) / (recorded + _NO_POWER))
    return Validation(
        metrics={"mel_l1_full": total / clips},
        clips=int(clips),
        took_s=time.monotonic() - started,
        details={"level_db": level_db, **discriminator_statistics.means(scores)},
        audio=audio,
    )


def _power(samples: Tensor) -> float:
    """Return the summed square of `(samples,)` without their mean: a constant has none."""
    return float(((samples - samples.mean()) ** 2).sum())


def generate_clip(state: VocoderState, utterance: Utterance, mels: MelTransforms) -> ValidationClip:
    """Generate one clip from its mel, in full precision."""
    samples = utterance.samples.to(state.device)[None]
    mel = mels.input_mel(samples) if utterance.mel is None else utterance.mel.to(state.device)[None]
    hop = state.config.mel.hop_samples
    frames = min(mel.shape[-1], samples.shape[-1] // hop)
    recording = samples[:, : frames * hop]
    # Keeps cuDNN from TF32, and from timing its algorithms: each clip has another length.
    with torch.backends.cudnn.flags(
        enabled=True, deterministic=torch.backends.cudnn.deterministic, allow_tf32=False
    ):
        # Not by calling the network: a compiled one would be compiled again for other lengths.
        generated = state.published.forward(mel[..., :frames])[:, 0]
    parts = (recording, generated, mels.full_band(recording), mels.full_band(generated))
    return ValidationClip(utterance.name, *(part[0].float().cpu() for part in parts))
