"""Batches from a corpus in GPU memory: a step copies only positions to the GPU.

If all training samples fit, they are copied to the GPU once as 16-bit integers (24 hours at
22 050 Hz are 3.8 GB). Segments are cut and scaled there, bit for bit like those of `StepBatches`.
Corpora with input mels use `StepBatches`.
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

_MAX_MEMORY_FRACTION = 0.5  # the share of the free memory to use; training needs the rest


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to a device without waiting for the device's earlier work.

    A GPU copies asynchronously only from pinned memory; with other memory the CPU would wait at
    each step until all earlier work is done. torch keeps the pinned memory until the copy is done.
    """
    if device.type == "cuda" and values.device.type == "cpu":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


def fits_in_gpu_memory(data: PreparedData, device: torch.device) -> bool:
    """Return whether the training samples fit in GPU memory; False for a CPU or input mels."""
    if device.type != "cuda" or data.has_mels:
        return False
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return 2 * sum(clip.samples for clip in data.training) <= _MAX_MEMORY_FRACTION * free_bytes


class GpuBatches(StepBatches):
    """`StepBatches` whose samples `(batch, samples)` are cut on the device.

    Raises:
        InputError: a clip cannot be read; the message names it.
    """

    def __init__(
        self,
        data: PreparedData,
        config: Config,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | None = None,
    ) -> None:
        """Copy every training clip to the device."""
        super().__init__(data, config, rank, world_size)
        self.device = device or torch.device("cpu")
        total = sum(clip.samples for clip in data.training)
        self._offsets: dict[str, int] = {}
        self._stored = torch.empty(total, dtype=torch.int16, device=self.device)
        offset = 0
        for clip in data.training:
            self._offsets[clip.name] = offset
            stored = torch.from_numpy(np.array(data.stored_samples(clip), np.int16))
            self._stored[offset : offset + clip.samples] = stored.to(self.device)
            offset += clip.samples

    def __getitem__(self, step: int) -> Batch:
        """Return this process's share of the batch of `step`, cut on the device."""
        starts, ends, scales = [], [], []
        for clip, start in self.crops(step):
            offset = self._offsets[clip.name]
            starts.append(offset + start)
            ends.append(offset + clip.samples)
            scales.append(self.data.scale(clip))
        start, end = to_device(torch.tensor([starts, ends]), self.device)
        scale = to_device(torch.tensor(scales, dtype=torch.float64), self.device)
        index = start[:, None] + torch.arange(self.segment_size, device=self.device)
        inside = index < end[:, None]
        stored = self._stored[index.clamp(max=len(self._stored) - 1)]
        # Use double precision, as `PreparedData.samples` does.
        samples = torch.where(inside, stored * scale[:, None], 0.0)
        return Batch(samples.float(), None)
