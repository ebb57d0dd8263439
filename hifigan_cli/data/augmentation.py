"""Augmentation of training batches: segments played at another rate and level.

Playing speech at another rate moves pitch and vocal tract together. Each draw is a function of
seed, step and slot, as the batches themselves are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import soxr
import torch

from hifigan_cli.data.batches import Batch, StepBatches
from hifigan_cli.data.sampler import Purpose, crop_start, uniform
from hifigan_cli.errors import UsageError

if TYPE_CHECKING:
    from hifigan_cli.config import Config
    from hifigan_cli.data.prepared import PreparedData
    from hifigan_cli.types import FloatArray

_MARGIN = 64  # extra samples for the end of the resampler


class AugmentedBatches(StepBatches):
    """`StepBatches` whose segments are played at another rate and level.

    Raises:
        UsageError: the data come with given mels, which would no longer fit.
    """

    def __init__(self, data: PreparedData, config: Config, rank: int = 0, world: int = 1) -> None:
        super().__init__(data, config, rank, world)
        if data.has_mels:
            raise UsageError(
                f"{data.folder} comes with mels, which fit no other rate or level",
                "leave speed_range and peak_range out",
            )
        self._ranges = {
            Purpose.RATE: config.train.speed_range,
            Purpose.LEVEL: config.train.peak_range,
        }

    def __getitem__(self, step: int) -> Batch:
        """Return the share of `step`.

        Raises:
            InputError: names a clip that cannot be read.
        """
        step = self._effective(step)
        rows = []
        for clip, slot in zip(self.clips(step), self.slots, strict=True):
            length = self.stretch(step, slot)
            start = crop_start(self.seed, step, slot, max(0, clip.samples - length))
            samples = self.data.samples(clip, start, start + length)
            rows.append(self.augment(samples, step, slot))
        return Batch(torch.from_numpy(np.stack(rows)), None)

    def stretch(self, step: int, slot: int) -> int:
        """Return how many samples of the clip a segment is made of."""
        return round(self.segment_size * self._draw(Purpose.RATE, step, slot)) + _MARGIN

    def augment(self, samples: FloatArray, step: int, slot: int) -> FloatArray:
        """Turn a stretch of a clip into a segment `(samples,)`."""
        rate = self._draw(Purpose.RATE, step, slot)
        if rate != 1.0:
            sample_rate = self.data.sample_rate
            samples = soxr.resample(samples, sample_rate * rate, sample_rate, quality="HQ")
        level = self._draw(Purpose.LEVEL, step, slot)
        segment = samples[: self.segment_size] * np.float32(level)
        return np.pad(segment, (0, self.segment_size - len(segment)))

    def _draw(self, purpose: Purpose, step: int, slot: int) -> float:
        low, high = self._ranges[purpose]
        return low + (high - low) * uniform(self.seed, purpose, step, slot)


def batches_of(data: PreparedData, config: Config, rank: int = 0, world: int = 1) -> StepBatches:
    """Return the batches that a configuration trains on, augmented where it asks for that.

    Raises:
        UsageError: data and configuration do not fit, or the batch cannot be shared evenly.
    """
    kind = AugmentedBatches if config.train.varied else StepBatches
    return kind(data, config, rank, world)
