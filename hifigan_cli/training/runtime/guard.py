"""Gradients that are not finite move no weight.

Every update is told by a flag on its device whether to be left out, so that nothing waits for the
verdict. How many were left out, and how many of them in a row, is asked for when losses are logged
and before anything is saved. One now and then is no harm: bfloat16 overflows, a batch is odd. Many
in a row mean that the weights themselves are beyond help.

The verdict is by the gradients' norm alone. Several processes have the same, by their exchange of
gradients, and so decide alike; each has another loss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from hifigan_cli.errors import DivergedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

PATIENCE = 10  # steps in a row whose updates are left out, before the weights are given up


class Verdict(NamedTuple):
    """What became of the steps since it was last asked."""

    left_out: int  # steps in which an update was left out
    longest: int  # the longest row of them, also from before


class Guard:
    """Leaves out updates by gradients that are not finite, and counts the steps where it did."""

    def __init__(self, device: torch.device) -> None:
        self._bad = torch.zeros((), device=device)  # 1: an update of this step was left out
        # Steps with an update left out; in a row until now; the longest row.
        self._counts = torch.zeros(3, device=device)

    def update(self, optimizer: torch.optim.Optimizer, gradient: Tensor) -> None:
        """Make an optimiser's update, unless the norm of its gradient is not finite."""
        bad = (~torch.isfinite(gradient.detach())).to(torch.float32)
        # What torch's loss scaling tells its fused optimisers.
        optimizer.found_inf = bad  # type: ignore[attr-defined]  # read by name
        optimizer.step()
        # In place, here and below: a captured step finds its counts where they lie.
        self._bad.copy_(torch.maximum(self._bad, bad))

    def end_step(self) -> None:
        """Count a step whose updates are all made or left out."""
        left_out, row, longest = self._counts.unbind()
        row = (row + 1) * self._bad
        self._counts.copy_(torch.stack([left_out + self._bad, row, torch.maximum(longest, row)]))
        self._bad.zero_()

    def read(self) -> Verdict:
        """Wait for the verdict on the steps since the last reading."""
        left_out, row, longest = (int(number) for number in self._counts.tolist())
        self._counts.copy_(self._counts.new_tensor([0, row, row]))
        return Verdict(left_out, longest)

    def in_trouble(self) -> bool:
        """Wait, and tell whether the last step's update was left out."""
        return bool(self._counts[1])

    def forget(self) -> None:
        """Begin anew, with other weights."""
        self._counts.zero_()


class Steadiness:
    """Goes back to the last checkpoint, once, where many steps in a row could not be made."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._went_back = False

    def keep(
        self,
        step: int,
        left_out: Callable[[int], None],
        go_back: Callable[[], int | None],
        advice: str,
    ) -> tuple[int, int] | None:
        """Tell `left_out` how many updates were; after many bad steps in a row `go_back`.

        That one returns the checkpoint's step, or None where there is none.

        Returns:
            The steps in a row and the step gone back to; None where all is well.

        Raises:
            DivergedError: it happened again, or there is nothing to go back to.
        """
        count, longest = self._guard.read()
        if count:
            left_out(count)
        if longest < PATIENCE:
            return None
        before = None if self._went_back else go_back()
        if before is None:
            raise DivergedError(
                f"training diverged: no finite gradient in {longest} steps up to {step}", advice
            )
        self._went_back = True
        self._guard.forget()
        return longest, before
