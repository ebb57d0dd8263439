"""Numbers that are not finite are caught before they reach the weights, or at least the disk.

On a CPU every update is checked first, which costs nothing. On an accelerator a check makes the
processor wait for the device; there the verdict is gathered on the device and read when losses are
logged and before anything is saved, so that no checkpoint ever holds a bad number.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hifigan_cli.errors import DivergedError


class Guard:
    """Remembers whether every loss and gradient so far was finite."""

    def __init__(self, device: torch.device) -> None:
        self._at_once = device.type == "cpu"
        self._finite = torch.ones((), dtype=torch.bool, device=device)

    def __call__(self, step: int, loss: Tensor, gradient: Tensor) -> None:
        """Look at a loss and its gradient's norm, before the 0-based step's update.

        Raises:
            DivergedError: one is not finite, and waiting for it was cheap.
        """
        self._finite &= torch.isfinite(loss.detach() + gradient)
        if self._at_once:
            self.check(step)

    def check(self, step: int) -> None:
        """Wait for the verdict on all steps so far.

        Raises:
            DivergedError: a number was not finite.
        """
        if not bool(self._finite):
            raise DivergedError(
                f"training diverged: a loss or a gradient is not finite by step {step + 1}",
                "the checkpoints are intact; lower learning_rate with --set, or use fp32",
            )
