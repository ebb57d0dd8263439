"""Fixed validation pairs, and how far from clean they are before and after the restorer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tests.tools.gpu.network import Restorer

_AT_ONCE = 32
_SPEECH_BELOW_PEAK = 4.0  # natural-log units: frames this far below the loudest hold speech


class Validation:
    """Collects pairs until they are complete, and measures networks on them."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pairs: dict[int, Tensor] = {}

    @property
    def complete(self) -> bool:
        """Whether all pairs are there."""
        return len(self._pairs) == self._count

    def add(self, number: int, mels: Tensor) -> None:
        """Add pair `number`, `(3, n_mels, frames)`: noisy, filtered, clean."""
        self._pairs[number] = mels

    @torch.no_grad()
    def measure(self, network: Restorer) -> dict[str, float]:
        """Return L1 distances to the clean mel, and the `texture` of what is restored.

        `texture` is the roughness across bands in speech relative to the clean mel's: 1 is right,
        less is blur.
        """
        pairs = torch.stack([self._pairs[number] for number in sorted(self._pairs)]).float()
        noisy, filtered, clean = pairs.unbind(1)
        starts = range(0, len(pairs), _AT_ONCE)
        parts = [slice(start, start + _AT_ONCE) for start in starts]
        restored = torch.cat([network(noisy[part], filtered[part]) for part in parts])
        level = clean.mean(1)
        speech = level > level.amax(1, keepdim=True) - _SPEECH_BELOW_PEAK
        rough = [mel.diff(dim=1).abs().mean(1)[speech].mean() for mel in (restored, clean)]
        found = {
            "noisy_l1": (noisy - clean).abs().mean(),
            "filtered_l1": (filtered - clean).abs().mean(),
            "restored_l1": (restored - clean).abs().mean(),
            "filtered_speech_l1": (filtered - clean).abs().mean(1)[speech].mean(),
            "restored_speech_l1": (restored - clean).abs().mean(1)[speech].mean(),
            "texture": rough[0] / rough[1],
        }
        return {name: round(float(value), 5) for name, value in found.items()}
