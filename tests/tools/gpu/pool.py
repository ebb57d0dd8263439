"""Rendered pairs on the device, and batches of them without a copy from the host.

Pairs cost seconds of CPU time and a step takes milliseconds, so each pair is used many times. Each
time its level, its coloring and the strength of the filter are others.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hifigan_cli.audio.mel import LOG_FLOOR
from tests.tools.gpu.network import noise_floors

_LEVEL = 1.2  # natural-log units by which a pair's level is moved
_COLOR = 0.5  # the same, at each of these points over the bands
_COLOR_POINTS = 6
_WEAKER = 0.3  # how often the filter is made weaker
_WEAKEST = 0.3  # the share of the recording that is then mixed in, at most
DRAWS = 4 + _COLOR_POINTS  # random numbers for a pair of a batch


class Batch(NamedTuple):
    """Log-mels `(batch, n_mels, frames)`, and both inputs' floors `(batch, 2, n_mels)`."""

    noisy: Tensor
    filtered: Tensor
    clean: Tensor
    floors: Tensor


class DevicePool:
    """A ring of pairs: when it is full, new pairs replace the oldest."""

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
        block = on_device(mels, self._mels.device)
        places = (torch.arange(len(block)) + self.received) % self.capacity
        places = places.to(block.device)
        self._mels[places] = block
        self._floors[places] = noise_floors(block[:, :2])
        self.received += len(block)
        self._size.fill_(len(self))

    def batch(self, draws: Tensor) -> Batch:
        """Return the pairs and augmentations that `(batch, DRAWS)` numbers from 0 to 1 stand for.

        A captured step calls this, so nothing here depends on the host.
        """
        which, level, weaker, weakness = draws[:, :4].unbind(1)
        chosen = (which * self._size).long().clamp_(max=self.capacity - 1)
        mels, floors = self._mels[chosen].float(), self._floors[chosen]
        share = torch.where(weaker < _WEAKER, weakness * _WEAKEST, 0.0)[:, None]
        floors[:, 1] = _blended(floors[:, 1], floors[:, 0], share)
        mels[:, 1] = _blended(mels[:, 1], mels[:, 0], share[..., None])
        shift = (2 * level[:, None] - 1) * _LEVEL + ((2 * draws[:, 4:] - 1) * _COLOR) @ self._curves
        mels = (mels + shift[:, None, :, None]).clamp_(min=LOG_FLOOR)
        floors = (floors + shift[:, None]).clamp_(min=LOG_FLOOR)
        noisy, filtered, clean = mels.unbind(1)
        return Batch(noisy, filtered, clean, floors)


def _blended(filtered: Tensor, noisy: Tensor, share: Tensor) -> Tensor:
    """Mix some of the recording into the filtered log-mel, as a limit of attenuation does."""
    return torch.log((1 - share) * filtered.exp() + share * noisy.exp())


def on_device(mels: npt.NDArray[np.float16], device: torch.device) -> Tensor:
    """Return pairs `(pairs, 3, frames, n_mels)` as a tensor `(pairs, 3, n_mels, frames)`."""
    return torch.from_numpy(np.ascontiguousarray(mels.transpose(0, 1, 3, 2))).to(device)
