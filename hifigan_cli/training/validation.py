"""Complete clips that the training does not see: mel_l1_full, and samples to listen to.

The generator reads each clip's mel, and the result's log-mel up to Nyquist is compared with the
recording's. The official training plots the same figure. With `overfit` the fixed segments take the
place of the clips: there the question is how far they can be learned by heart.

The losses of a step are sums over all eight sub-discriminators, in which one that is dead is
hidden. Here each is asked separately, a few segments at every validation, so that no step waits for
it. Validation changes nothing that is trained: there are no gradients, and the power iteration of
spectral norm rests.
"""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from hifigan_cli.data.augmentation import batches_of
from hifigan_cli.models.losses import mel_loss
from hifigan_cli.training.health_checks import DISCRIMINATORS
from hifigan_cli.training.trainer import ValidationResult
from hifigan_cli.training.validation_audio import ValidationClip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hifigan_cli.config import Config
    from hifigan_cli.data.prepared import PreparedData
    from hifigan_cli.runtime.distributed import DistributedContext
    from hifigan_cli.training.state import VocoderState
    from hifigan_cli.training.step import MelTransforms

_SCORED_CLIPS = 8  # of the validation clips, over all processes
_SUMS = 4  # numbers kept of each discriminator
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
    samples, mels = batches_of(data, config)[0]
    return [
        Utterance(f"segment_{place}", samples[place], None if mels is None else mels[place])
        for place in range(len(samples))
    ]


@torch.no_grad()
def validate(
    state: VocoderState,
    utterances: Utterances,
    mels: MelTransforms,
    context: DistributedContext,
    stopping: Callable[[], bool] = lambda: False,
) -> ValidationResult | None:
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
        if index < _SCORED_CLIPS:
            statistics.add(state, clip.recording, clip.generated)
        if index < state.config.train.sample_clips:
            audio.append(clip)
    sums = context.sums((total, count, stopped, *powers, *statistics.sums()))
    total, clips, any_stopped, generated, recorded, *scores = sums
    if any_stopped or not clips:
        return None
    level_db = 10 * math.log10((generated + _NO_POWER) / (recorded + _NO_POWER))
    return ValidationResult(
        metrics={"mel_l1_full": total / clips},
        clips=int(clips),
        took_s=time.monotonic() - started,
        details={"level_db": level_db, **statistics_of(scores)},
        audio=audio,
    )


def _power(samples: Tensor) -> float:
    """Return the summed square of `(samples,)` without their mean: a constant has none."""
    return float(((samples - samples.mean()) ** 2).sum())


def generate_clip(state: VocoderState, utterance: Utterance, mels: MelTransforms) -> ValidationClip:
    """Generate one clip from its mel, in full precision."""
    samples = utterance.samples.to(state.device)[None]
    mel = mels.input_mel(samples) if utterance.mel is None else utterance.mel.to(state.device)[None]
    hop = state.config.mel.hop_length
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


class DiscriminatorStatistics:
    """Adds up what the sub-discriminators answer, clip by clip."""

    def __init__(self) -> None:
        self._clips = 0
        self._sums = torch.zeros(len(DISCRIMINATORS), _SUMS, dtype=torch.float64)

    @torch.no_grad()
    def add(self, state: VocoderState, recording: Tensor, generated: Tensor) -> None:
        """Score the middle of a clip, `(samples,)` as recorded and as generated.

        A clip shorter than the segments that are trained on is left out.
        """
        segment = state.config.train.segment_size
        if recording.shape[-1] < segment:
            return
        start = (recording.shape[-1] - segment) // 2
        pair = torch.stack([recording, generated])[:, None, start : start + segment]
        with buffers_unchanged(state.mpd, state.msd):
            outputs = [*state.mpd(pair.to(state.device)), *state.msd(pair.to(state.device))]
        for sums, output in zip(self._sums, outputs, strict=True):
            scores = output.scores.cpu().double()
            of_y, of_y_hat = scores
            terms = ((1 - of_y) ** 2, of_y_hat**2, scores, scores**2)
            sums += torch.stack([term.mean() for term in terms])
        self._clips += 1

    def sums(self) -> list[float]:
        """Return all that was added up, in a fixed order, to be summed over processes."""
        return [float(self._clips), *self._sums.flatten().tolist()]


def statistics_of(sums: Sequence[float]) -> dict[str, float]:
    """Return three figures of each sub-discriminator, as means over the clips; none without clips.

    `period_2.real` and `period_2.fake` are its two terms of the least-squares loss. At chance, when
    it answers a half to everything, each is 0.25; where it always knows, both are near 0.
    `period_2.spread` is the standard deviation of its scores, over recordings and generated sound
    alike: 0 where it answers the same to everything.
    """
    clips, *rest = sums
    if not clips:
        return {}
    found = {}
    for place, name in enumerate(DISCRIMINATORS):
        row = [value / clips for value in rest[place * _SUMS : (place + 1) * _SUMS]]
        found[f"{name}.real"], found[f"{name}.fake"], mean, square = row
        found[f"{name}.spread"] = math.sqrt(max(square - mean**2, 0.0))
    return found


@contextmanager
def buffers_unchanged(*networks: nn.Module) -> Iterator[None]:
    """Keep networks from changing their buffers in a forward pass."""
    before = [network.training for network in networks]
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for network, training in zip(networks, before, strict=True):
            network.train(training)
