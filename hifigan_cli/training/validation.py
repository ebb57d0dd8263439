"""Whole clips that the training does not see: mel_l1_full, and samples to hear.

The generator reads each clip's mel and the result's log-mel up to Nyquist is compared with the
recording's. This is the figure that the official training plots. With `overfit` the fixed segments
themselves take the place of the clips: there the question is how far they can be learned by heart.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from hifigan_cli.data.augmentation import batches_of
from hifigan_cli.models.losses import mel_loss
from hifigan_cli.training.progress.judges import CLIPS_JUDGED, Jury, Verdict, verdicts

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from hifigan_cli.config import Config
    from hifigan_cli.data.prepared import PreparedData
    from hifigan_cli.runtime.distributed import DistributedContext
    from hifigan_cli.training.state import TrainState
    from hifigan_cli.training.step import Mels


_NO_POWER = 1e-6  # keeps the level of digital silence a number


class Utterance(NamedTuple):
    """A clip to validate on: `(samples,)`, and its given mel `(mels, frames)` if there is one."""

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
    def natural(self) -> bool:
        """Whether unseen clips are made from their own mels, as in the official validation."""
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


@dataclass(frozen=True)
class Heard:
    """A clip as recorded and as generated: samples, and the log-mels up to Nyquist, on the CPU."""

    name: str
    recording: Tensor  # (samples,)
    generated: Tensor  # (samples,)
    recording_mel: Tensor  # (mels, frames)
    generated_mel: Tensor  # (mels, frames)


@dataclass(frozen=True)
class Validation:
    """What a validation found.

    Attributes:
        mel_l1_full: mean over clips of the L1 between log-mels up to Nyquist.
        clips: how many there were.
        took_s: how long it took, in seconds.
        level_db: the generated clips' power against the recordings', both without their means.
        verdicts: what each sub-discriminator says, by its name.
        heard: the first few clips, for ears and eyes.
    """

    mel_l1_full: float
    clips: int
    took_s: float
    level_db: float
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    heard: list[Heard] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """Return every number worth a curve, by name."""
        found = {"mel_l1_full": self.mel_l1_full, "level_db": self.level_db}
        for name, verdict in self.verdicts.items():
            found |= {f"{name}.{part}": value for part, value in asdict(verdict).items()}
        return found


@torch.no_grad()
def validate(
    state: TrainState,
    utterances: Utterances,
    mels: Mels,
    ranks: DistributedContext,
    stopping: Callable[[], bool] = lambda: False,
) -> Validation | None:
    """Synthesise every clip and compare; None if a signal broke it off or there are no clips.

    The clips are dealt out to the processes in turn.
    """
    started = time.monotonic()
    total, count, broken_off = 0.0, 0, 0
    powers, jury = (0.0, 0.0), Jury()
    heard: list[Heard] = []
    for index in range(ranks.rank, len(utterances), ranks.world):
        if stopping():
            broken_off = 1
            break
        clip = compare(state, utterances[index], mels)
        total += mel_loss(clip.recording_mel, clip.generated_mel).item()
        count += 1
        powers = powers[0] + _power(clip.generated), powers[1] + _power(clip.recording)
        if index < CLIPS_JUDGED:
            jury.hear(state, clip.recording, clip.generated)
        if index < state.config.train.sample_clips:
            heard.append(clip)
    sums = ranks.sums((total, count, broken_off, *powers, *jury.sums()))
    total, clips, stopped, generated, recorded, *judged = sums
    if stopped or not clips:
        return None
    return Validation(
        mel_l1_full=total / clips,
        clips=int(clips),
        took_s=time.monotonic() - started,
        level_db=10 * math.log10((generated + _NO_POWER) / (recorded + _NO_POWER)),
        verdicts=verdicts(judged),
        heard=heard,
    )


def _power(samples: Tensor) -> float:
    """Return the summed square of `(samples,)` without their mean: a constant has none."""
    return float(((samples - samples.mean()) ** 2).sum())


def compare(state: TrainState, utterance: Utterance, mels: Mels) -> Heard:
    """Synthesise one clip from its mel, in full precision."""
    samples = utterance.samples.to(state.device)[None]
    given = mels.given(samples) if utterance.mel is None else utterance.mel.to(state.device)[None]
    hop = state.config.mel.hop_samples
    frames = min(given.shape[-1], samples.shape[-1] // hop)
    recording = samples[:, : frames * hop]
    with _exact():
        # Not by calling it: where it is compiled, it would be compiled anew for other lengths.
        generated = state.listener.forward(given[..., :frames])[:, 0]
    recording_mel, generated_mel = mels.full(recording), mels.full(generated)
    parts = (recording, generated, recording_mel, generated_mel)
    return Heard(utterance.name, *(part[0].float().cpu() for part in parts))


def _exact() -> AbstractContextManager[None]:
    """Keep cuDNN from TF32, and from timing its algorithms: each clip has another length."""
    chosen = torch.backends.cudnn.deterministic
    exact: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True, deterministic=chosen, allow_tf32=False
    )
    return exact
