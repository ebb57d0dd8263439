"""One update of the enhancer, and of its discriminator where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from hifigan_cli.training.step import gradient_norm

if TYPE_CHECKING:
    from hifigan_cli.enhancement.training.state import EnhancerState
    from hifigan_cli.training.nonfinite_guard import NonfiniteGuard

# Of the losses in the second phase.
_WEIGHTS = {"distance": 2.0, "differences": 0.5, "adversarial": 0.25, "feature": 1.0}
_LONGEST_GRADIENT = 1.0
DISCRIMINATOR_ONLY_STEPS = 60  # in which it learns before its scores count


def enhancer_step(
    state: EnhancerState, noisy: Tensor, clean: Tensor, guard: NonfiniteGuard
) -> dict[str, Tensor]:
    """Learn from one batch `(batch, n_mels, frames)`, in place, and count the step.

    `guard` makes each update, or skips it where a gradient is not finite.
    """
    with _bf16(noisy):
        enhanced = state.enhancer(noisy)
    distance, differences = distances(enhanced, clean)
    losses = {"distance": distance, "differences": differences}
    loss: Tensor | None = distance + state.config.training.difference_weight * differences
    if state.adversarial:
        loss = _adversarial_step(state, enhanced, clean, losses, guard)
    if loss is not None:
        state.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(state.enhancer.parameters(), _LONGEST_GRADIENT)
        guard.update(state.optimizer, norm)
    guard.end_step()
    if state.adversarial:
        state.update_ema()
    state.step += 1
    return {name: value.detach() for name, value in losses.items()}


def distances(enhanced: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean absolute distance, and that of the differences in time and frequency."""
    in_time = F.l1_loss(enhanced.diff(dim=2), clean.diff(dim=2))
    in_frequency = F.l1_loss(enhanced.diff(dim=1), clean.diff(dim=1))
    return F.l1_loss(enhanced, clean), in_time + in_frequency


def _adversarial_step(
    state: EnhancerState,
    enhanced: Tensor,
    clean: Tensor,
    losses: dict[str, Tensor],
    guard: NonfiniteGuard,
) -> Tensor | None:
    """Update the discriminator; return the enhancer's loss, or None while it does not learn."""
    with _bf16(enhanced):
        real, _ = state.discriminator(clean)
        fake, _ = state.discriminator(enhanced.detach())
    loss_d = torch.mean((1 - real.float()) ** 2) + torch.mean(fake.float() ** 2)
    state.optimizer_d.zero_grad()
    loss_d.backward()  # type: ignore[no-untyped-call]
    guard.update(state.optimizer_d, gradient_norm(state.optimizer_d))
    losses["discriminator"] = loss_d
    if state.step - state.first_adversarial_step < DISCRIMINATOR_ONLY_STEPS:
        return None
    state.discriminator.requires_grad_(requires_grad=False)
    with _bf16(enhanced):
        with torch.no_grad():
            _, wanted = state.discriminator(clean)
        fake, found = state.discriminator(enhanced)
    state.discriminator.requires_grad_(requires_grad=True)
    losses["adversarial"] = torch.mean((1 - fake.float()) ** 2)
    losses["feature"] = torch.stack(
        [F.l1_loss(f.float(), w.float()) for f, w in zip(found, wanted, strict=True)]
    ).sum()
    return torch.stack([weight * losses[term] for term, weight in _WEIGHTS.items()]).sum()


def _bf16(like: Tensor) -> torch.autocast:
    """Compute convolutions and products in bfloat16, which is exact enough for all of this."""
    return torch.autocast(like.device.type, torch.bfloat16)
