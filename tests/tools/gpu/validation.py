"""Measure the distance of fixed validation pairs to clean, before and after the restorer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tests.tools.gpu.network import FilteredMelRestorer

_BATCH_SIZE = 32
_SPEECH_RANGE = 4.0  # natural-log units: frames up to this far below the loudest count as speech


class Validation:
    """Collect pairs until they are complete, and measure networks on them."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pairs: dict[int, Tensor] = {}

    @property
    def complete(self) -> bool:
        """Whether all pairs have been added."""
        return len(self._pairs) == self._count

    def add(self, number: int, mels: Tensor) -> None:
        """Add pair `number`, `(3, n_mels, frames)`: noisy, filtered, clean."""
        self._pairs[number] = mels

    @torch.no_grad()
    def measure(self, network: FilteredMelRestorer) -> dict[str, float]:
        """Return L1 distances to the clean mel, and the `texture` of the restored mel.

        `texture` is the roughness across bands in speech, relative to the clean mel: 1 is ideal,
        less is blurred.
        """
        pairs = torch.stack([self._pairs[number] for number in sorted(self._pairs)]).float()
        noisy, filtered, clean = pairs.unbind(1)
        starts = range(0, len(pairs), _BATCH_SIZE)
        parts = [slice(start, start + _BATCH_SIZE) for start in starts]
        restored = torch.cat([network(noisy[part], filtered[part]) for part in parts])
        level = clean.mean(1)
        speech = level > level.amax(1, keepdim=True) - _SPEECH_RANGE
        roughness = [mel.diff(dim=1).abs().mean(1)[speech].mean() for mel in (restored, clean)]
        results = {
            "noisy_l1": (noisy - clean).abs().mean(),
            "filtered_l1": (filtered - clean).abs().mean(),
            "restored_l1": (restored - clean).abs().mean(),
            "filtered_speech_l1": (filtered - clean).abs().mean(1)[speech].mean(),
            "restored_speech_l1": (restored - clean).abs().mean(1)[speech].mean(),
            "texture": roughness[0] / roughness[1],
        }
        return {name: round(float(value), 5) for name, value in results.items()}
