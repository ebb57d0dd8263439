"""Gradients that are not finite move no weight.

Every update gets a flag on its device that says whether to skip it, so nothing waits. How many were
skipped, and how many of them in a row, is read when losses are logged and before anything is saved.
One now and then is no harm: bfloat16 overflows, a batch is odd. Many in a row mean that the weights
themselves are beyond help.

The flag depends on the gradients' norm only. Several processes have the same, by their exchange of
gradients, and so decide alike; each has another loss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

PATIENCE = 10  # steps in a row whose updates are skipped, before the weights are given up


class NonfiniteGuard:
    """Skips updates by gradients that are not finite, and counts the steps where it did."""

    def __init__(self, device: torch.device) -> None:
        self._bad = torch.zeros((), device=device)  # 1: an update of this step was skipped
        # Steps with a skipped update; in a row until now; the longest row.
        self._counts = torch.zeros(3, device=device)

    def update(self, optimizer: torch.optim.Optimizer, gradient: Tensor) -> None:
        """Make an optimizer's update, unless the norm of its gradient is not finite."""
        bad = (~torch.isfinite(gradient.detach())).to(torch.float32)
        # The attribute by which torch's loss scaling reaches its fused optimizers.
        optimizer.found_inf = bad  # type: ignore[attr-defined]  # read by name
        optimizer.step()
        # In place, here and below: a captured step finds its counts where they lie.
        self._bad.copy_(torch.maximum(self._bad, bad))

    def end_step(self) -> None:
        """Count a step whose updates are all made or skipped."""
        skipped, row, longest = self._counts.unbind()
        row = (row + 1) * self._bad
        self._counts.copy_(torch.stack([skipped + self._bad, row, torch.maximum(longest, row)]))
        self._bad.zero_()

    def read(self) -> tuple[int, int]:
        """Wait for the device; return the steps skipped since the last call, and the longest row.

        The longest row may have begun before the last call.
        """
        skipped, row, longest = (int(number) for number in self._counts.tolist())
        self._counts.copy_(self._counts.new_tensor([0, row, row]))
        return skipped, longest

    def last_step_skipped(self) -> bool:
        """Wait for the device; return whether the last step's update was skipped."""
        return bool(self._counts[1])

    def reset(self) -> None:
        """Forget all steps so far: the weights are others now."""
        self._counts.zero_()
