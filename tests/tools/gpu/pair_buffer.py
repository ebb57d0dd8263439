"""Store rendered pairs on the device, and return batches without a copy from the host.

A pair takes seconds of CPU time and a step takes milliseconds, so each pair is used many times. Its
level, its coloring and the strength of the filter change each time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hifigan_cli.audio.mel import LOG_FLOOR
from tests.tools.gpu.network import noise_floors

_MAX_LEVEL_SHIFT = 1.2  # in natural-log units
_MAX_COLOR_SHIFT = 0.5  # the same, at each of the points
_COLOR_POINTS = 6  # across the bands
_WEAK_FILTER_PROBABILITY = 0.3
_MAX_RECORDING_SHARE = 0.3  # of the recording that is then mixed in
RANDOM_NUMBERS_PER_PAIR = 4 + _COLOR_POINTS


class MelBatch(NamedTuple):
    """Log-mels `(batch, n_mels, frames)`, and the inputs' noise floors `(batch, 2, n_mels)`."""

    noisy: Tensor
    filtered: Tensor
    clean: Tensor
    floors: Tensor


class PairBuffer:
    """A ring buffer of pairs: when it is full, new pairs replace the oldest."""

    def __init__(self, capacity: int, frames: int, n_mels: int, device: torch.device) -> None:
        self._mels = torch.zeros(capacity, 3, n_mels, frames, dtype=torch.float16, device=device)
        self._floors = torch.zeros(capacity, 2, n_mels, device=device)
        self._size = torch.zeros((), device=device)  # read by a captured step
        self.capacity, self.received = capacity, 0
        points = np.linspace(0, n_mels - 1, _COLOR_POINTS)
        curves = [np.interp(np.arange(n_mels), points, row) for row in np.eye(_COLOR_POINTS)]
        self._curves = torch.tensor(np.stack(curves), dtype=torch.float32, device=device)

    def __len__(self) -> int:
        return min(self.received, self.capacity)

    def add(self, mels: npt.NDArray[np.float16]) -> None:
        """Add pairs `(pairs, 3, frames, n_mels)`."""
        block = to_device(mels, self._mels.device)
        indices = (torch.arange(len(block)) + self.received) % self.capacity
        indices = indices.to(block.device)
        self._mels[indices] = block
        self._floors[indices] = noise_floors(block[:, :2])
        self.received += len(block)
        self._size.fill_(len(self))

    def batch(self, random_numbers: Tensor) -> MelBatch:
        """Return augmented pairs, from random numbers `(batch, RANDOM_NUMBERS_PER_PAIR)` in 0..1.

        A captured step calls this, so it must not depend on the host.
        """
        which, level, weaker, weakness = random_numbers[:, :4].unbind(1)
        indices = (which * self._size).long().clamp_(max=self.capacity - 1)
        mels, floors = self._mels[indices].float(), self._floors[indices]
        weak = weaker < _WEAK_FILTER_PROBABILITY
        share = torch.where(weak, weakness * _MAX_RECORDING_SHARE, 0.0)[:, None]
        floors[:, 1] = _blend(floors[:, 1], floors[:, 0], share)
        mels[:, 1] = _blend(mels[:, 1], mels[:, 0], share[..., None])
        shift = (2 * level[:, None] - 1) * _MAX_LEVEL_SHIFT
        shift = shift + ((2 * random_numbers[:, 4:] - 1) * _MAX_COLOR_SHIFT) @ self._curves
        mels = (mels + shift[:, None, :, None]).clamp_(min=LOG_FLOOR)
        floors = (floors + shift[:, None]).clamp_(min=LOG_FLOOR)
        noisy, filtered, clean = mels.unbind(1)
        return MelBatch(noisy, filtered, clean, floors)


def _blend(filtered: Tensor, noisy: Tensor, share: Tensor) -> Tensor:
    """Mix some of the recording into the filtered log-mel, as an attenuation limit does."""
    return torch.log((1 - share) * filtered.exp() + share * noisy.exp())


def to_device(mels: npt.NDArray[np.float16], device: torch.device) -> Tensor:
    """Return pairs `(pairs, 3, frames, n_mels)` as a tensor `(pairs, 3, n_mels, frames)`."""
    return torch.from_numpy(np.ascontiguousarray(mels.transpose(0, 1, 3, 2))).to(device)
