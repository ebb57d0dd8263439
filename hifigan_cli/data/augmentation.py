"""Augmentation of training batches: segments played at another speed and level.

Playing speech at another speed shifts its pitch and formants together. Each random value is a
function of seed, step and slot, like the batches themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import soxr
import torch

from hifigan_cli.data.batches import Batch, StepBatches
from hifigan_cli.data.sampler import RandomStream, crop_start, uniform
from hifigan_cli.errors import UsageError

if TYPE_CHECKING:
    from hifigan_cli.config import Config
    from hifigan_cli.data.prepared import PreparedData
    from hifigan_cli.types import FloatArray

_MARGIN = 64  # extra input samples for the resampler


class AugmentedBatches(StepBatches):
    """`StepBatches` whose segments are played at another speed and level.

    Raises:
        UsageError: the data has input mels, which would no longer match.
    """

    def __init__(
        self, data: PreparedData, config: Config, rank: int = 0, world_size: int = 1
    ) -> None:
        super().__init__(data, config, rank, world_size)
        if data.has_mels:
            raise UsageError(
                f"{data.folder} has input mels, which do not match another speed or level",
                "remove speed_range and gain_range from the configuration",
            )
        self._ranges = {
            RandomStream.SPEED: config.train.speed_range,
            RandomStream.GAIN: config.train.gain_range,
        }

    def __getitem__(self, step: int) -> Batch:
        """Return this process's share of the batch of `step`.

        Raises:
            InputError: a clip cannot be read; the message names it.
        """
        step = self._effective_step(step)
        segments = []
        for clip, slot in zip(self.clips(step), self.slots, strict=True):
            length = self.source_length(step, slot)
            start = crop_start(self.seed, step, slot, max(0, clip.samples - length))
            samples = self.data.samples(clip, start, start + length)
            segments.append(self.augment(samples, step, slot))
        return Batch(torch.from_numpy(np.stack(segments)), None)

    def source_length(self, step: int, slot: int) -> int:
        """Return how many samples of the clip to read for a segment."""
        return round(self.segment_size * self._draw(RandomStream.SPEED, step, slot)) + _MARGIN

    def augment(self, samples: FloatArray, step: int, slot: int) -> FloatArray:
        """Convert samples of a clip to a segment `(segment_size,)` at another speed and level."""
        speed = self._draw(RandomStream.SPEED, step, slot)
        if speed != 1.0:
            sample_rate = self.data.sample_rate
            samples = soxr.resample(samples, sample_rate * speed, sample_rate, quality="HQ")
        gain = self._draw(RandomStream.GAIN, step, slot)
        segment = samples[: self.segment_size] * np.float32(gain)
        return np.pad(segment, (0, self.segment_size - len(segment)))

    def _draw(self, stream: RandomStream, step: int, slot: int) -> float:
        low, high = self._ranges[stream]
        return low + (high - low) * uniform(self.seed, stream, step, slot)


def create_batches(
    data: PreparedData, config: Config, rank: int = 0, world_size: int = 1
) -> StepBatches:
    """Return the training batches of a configuration, with augmentation if it is configured.

    Raises:
        UsageError: data and configuration do not match, or the batch cannot be divided evenly.
    """
    kind = AugmentedBatches if config.train.augmented else StepBatches
    return kind(data, config, rank, world_size)
