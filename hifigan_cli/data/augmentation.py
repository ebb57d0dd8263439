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
    from hifigan_cli.config import Config, TrainConfig
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
                "leave vary_rate and vary_level out",
            )
        self._augmentation = SegmentAugmentation(config.train, data.rate_hz)

    def __getitem__(self, step: int) -> Batch:
        """Return the share of `step`.

        Raises:
            InputError: names a clip that cannot be read.
        """
        step = self._effective(step)
        rows = []
        for clip, slot in zip(self.clips(step), self.slots, strict=True):
            length = self._augmentation.stretch(step, slot)
            start = crop_start(self.seed, step, slot, max(0, clip.samples - length))
            samples = self.data.samples(clip, start, start + length)
            rows.append(self._augmentation.apply(samples, step, slot))
        return Batch(torch.from_numpy(np.stack(rows)), None)


def batches_of(data: PreparedData, config: Config, rank: int = 0, world: int = 1) -> StepBatches:
    """Return the batches that a configuration trains on, augmented where it asks for that.

    Raises:
        UsageError: data and configuration do not fit, or the batch cannot be shared evenly.
    """
    kind = AugmentedBatches if config.train.varied else StepBatches
    return kind(data, config, rank, world)


class SegmentAugmentation:
    """Draws and applies the rates and levels of one run's segments."""

    def __init__(self, train: TrainConfig, rate_hz: int) -> None:
        self._train = train
        self._rate_hz = rate_hz

    def stretch(self, step: int, slot: int) -> int:
        """Return how many samples of the clip a segment is made of."""
        return round(self._train.segment_samples * self._rate(step, slot)) + _MARGIN

    def apply(self, samples: FloatArray, step: int, slot: int) -> FloatArray:
        """Turn a stretch of a clip into a segment `(samples,)`."""
        rate, length = self._rate(step, slot), self._train.segment_samples
        if rate != 1.0:
            samples = soxr.resample(samples, self._rate_hz * rate, self._rate_hz, quality="HQ")
        low, high = self._train.vary_level
        level = low + (high - low) * uniform(self._train.seed, Purpose.LEVEL, step, slot)
        segment = samples[:length] * np.float32(level)
        return np.pad(segment, (0, length - len(segment)))

    def _rate(self, step: int, slot: int) -> float:
        low, high = self._train.vary_rate
        return low + (high - low) * uniform(self._train.seed, Purpose.RATE, step, slot)
