"""Batches of a corpus that lies in GPU memory: a step sends only positions there.

Where all training samples fit they are copied to a GPU once, as the 16-bit numbers that are stored
(24 hours at 22 050 Hz are 3.8 GB), and segments are cut and scaled there. They are bit for bit
those of `StepBatches`. Corpora with given mels go the usual way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hifigan_cli.data.batches import Batch, StepBatches

if TYPE_CHECKING:
    from hifigan_cli.config import Config
    from hifigan_cli.data.prepared import PreparedData

_SHARE = 0.5  # of the free memory that the corpus may take; training needs the rest


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to a device without waiting for what the device still has to do.

    A GPU fetches by itself only from pinned memory; for other memory the CPU would wait at each
    step until all earlier work is done. torch keeps pinned memory until it was fetched.
    """
    if device.type == "cuda" and values.device.type == "cpu":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


def fits(data: PreparedData, device: torch.device) -> bool:
    """Return whether the training samples may lie on the device; a CPU maps their files."""
    if device.type != "cuda" or data.has_mels:
        return False
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return 2 * sum(clip.samples for clip in data.training) <= _SHARE * free_bytes


class GpuBatches(StepBatches):
    """`StepBatches` whose samples `(batch, samples)` are cut on the device.

    Raises:
        InputError: names a clip that cannot be read.
    """

    def __init__(
        self,
        data: PreparedData,
        config: Config,
        rank: int = 0,
        world: int = 1,
        device: torch.device | None = None,
    ) -> None:
        """Copy every training clip to the device."""
        super().__init__(data, config, rank, world)
        self.device = device or torch.device("cpu")
        total = sum(clip.samples for clip in data.training)
        self._first: dict[str, int] = {}
        self._stored = torch.empty(total, dtype=torch.int16, device=self.device)
        first = 0
        for clip in data.training:
            self._first[clip.name] = first
            stored = torch.from_numpy(np.array(data.stored(clip), np.int16))
            self._stored[first : first + clip.samples] = stored.to(self.device)
            first += clip.samples

    def __getitem__(self, step: int) -> Batch:
        """Return this process's share of the batch of `step`, cut on the device."""
        starts, ends, scales = [], [], []
        for clip, start in self.cuts(step):
            first = self._first[clip.name]
            starts.append(first + start)
            ends.append(first + clip.samples)
            scales.append(self.data.scale(clip))
        start, end = to_device(torch.tensor([starts, ends]), self.device)
        scale = to_device(torch.tensor(scales, dtype=torch.float64), self.device)
        index = start[:, None] + torch.arange(self.segment_size, device=self.device)
        inside = index < end[:, None]
        stored = self._stored[index.clamp(max=len(self._stored) - 1)]
        # In double precision, as the CPU scales them.
        samples = torch.where(inside, stored * scale[:, None], 0.0)
        return Batch(samples.float(), None)
