"""Skip updates whose gradients are not finite.

A flag on the device tells the optimizer whether to skip an update, so nothing synchronizes. The
number of skipped steps, and of consecutive ones, is read when losses are logged and before saving.
An occasional skipped step is harmless: bfloat16 overflows, or a batch is unusual. Many consecutive
ones mean that the weights have diverged.

The flag depends only on the gradients' norm. All processes have the same averaged gradients, so
they make the same decision. Losses differ between processes and cannot be used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

PATIENCE = 10  # consecutive skipped steps before the weights are discarded


class NonfiniteGuard:
    """Skips updates whose gradients are not finite, and counts those steps."""

    def __init__(self, device: torch.device) -> None:
        self._skipped = torch.zeros((), device=device)  # 1 if an update of this step was skipped
        # Skipped steps, the current streak of them, the longest streak.
        self._counts = torch.zeros(3, device=device)

    def update(self, optimizer: torch.optim.Optimizer, gradient_norm: Tensor) -> None:
        """Step an optimizer, unless the norm of its gradients is not finite."""
        skip = (~torch.isfinite(gradient_norm.detach())).to(torch.float32)
        # GradScaler uses this attribute to control fused optimizers.
        optimizer.found_inf = skip  # type: ignore[attr-defined]  # read by name
        optimizer.step()
        # In place, here and below, because CUDA graphs use fixed addresses.
        self._skipped.copy_(torch.maximum(self._skipped, skip))

    def end_step(self) -> None:
        """Count the step after all its updates."""
        total, streak, longest = self._counts.unbind()
        streak = (streak + 1) * self._skipped
        longest = torch.maximum(longest, streak)
        self._counts.copy_(torch.stack([total + self._skipped, streak, longest]))
        self._skipped.zero_()

    def read(self) -> tuple[int, int]:
        """Synchronize; return the steps skipped since the last call, and the longest streak.

        The longest streak may have begun before the last call.
        """
        total, streak, longest = (int(number) for number in self._counts.tolist())
        self._counts.copy_(self._counts.new_tensor([0, streak, streak]))
        return total, longest

    def last_step_skipped(self) -> bool:
        """Synchronize; return whether an update of the last step was skipped."""
        return bool(self._counts[1])

    def reset(self) -> None:
        """Clear all counts, after the weights were replaced."""
        self._counts.zero_()
