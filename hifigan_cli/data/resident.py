"""Batches out of a corpus that lies on the device: nothing but places is sent there at each step.

Where all training samples fit they are copied to a GPU once, as the 16-bit numbers they are stored
as (24 hours at 22 050 Hz are 3.8 GB), and segments are cut and scaled there. The segments are those
of `StepBatches`, to the bit. Corpora that come with given mels go the usual way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from hifigan_cli.data.batches import Batch, StepBatches
from hifigan_cli.data.sending import sent

if TYPE_CHECKING:
    from hifigan_cli.config import Config
    from hifigan_cli.data.prepared import PreparedData

_SHARE = 0.5  # of the free memory that the corpus may take; training needs the rest


def fits(data: PreparedData, device: torch.device) -> bool:
    """Tell whether the training samples may lie on the device; never on a CPU, which maps them."""
    if device.type != "cuda" or data.has_mels:
        return False
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return 2 * sum(clip.samples for clip in data.training) <= _SHARE * free_bytes


class ResidentBatches(StepBatches):
    """`StepBatches` whose samples are made on the device, `(batch, samples)` there.

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
        """Copy every training clip to the device; `rank` and `world` share as elsewhere."""
        super().__init__(data, config, rank, world)
        self.device = device or torch.device("cpu")
        lengths = [clip.samples for clip in data.training]
        self._first = dict(
            zip((clip.name for clip in data.training), np.cumsum([0, *lengths]), strict=False)
        )
        self._stored = torch.empty(sum(lengths), dtype=torch.int16, device=self.device)
        for clip in data.training:
            first = self._first[clip.name]
            stored = torch.from_numpy(np.array(data.stored(clip), np.int16))
            self._stored[first : first + clip.samples] = stored.to(self.device)

    def __getitem__(self, step: int) -> Batch:
        """Return the share of `step`, cut on the device."""
        places, ends, scales = [], [], []
        for clip, start in self.cuts(step):
            first = int(self._first[clip.name])
            places.append(first + start)
            ends.append(first + clip.samples)
            scales.append(self.data.scale(clip))
        place, end = sent(torch.tensor([places, ends]), self.device)
        scale = sent(torch.tensor(scales, dtype=torch.float64), self.device)
        index = place[:, None] + torch.arange(self.segment_samples, device=self.device)
        inside = index < end[:, None]
        stored = self._stored[index.clamp(max=len(self._stored) - 1)]
        # In double precision, as the processor scales them.
        samples = torch.where(inside, stored * scale[:, None], 0.0)
        return Batch(samples.float(), None)
