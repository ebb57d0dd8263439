"""One training step of the enhancer, and of its discriminator in the second phase."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from hifigan_cli.training.step import gradient_norm

if TYPE_CHECKING:
    from hifigan_cli.enhancement.training.state import EnhancerState
    from hifigan_cli.training.nonfinite_guard import NonfiniteGuard

# The weights of the losses in the second phase.
_WEIGHTS = {"distance": 2.0, "delta": 0.5, "adversarial": 0.25, "feature": 1.0}
_MAX_GRADIENT_NORM = 1.0
DISCRIMINATOR_ONLY_STEPS = 60  # at the start of the second phase, without enhancer updates


def enhancer_step(
    state: EnhancerState, noisy: Tensor, clean: Tensor, guard: NonfiniteGuard
) -> dict[str, Tensor]:
    """Train on one batch `(batch, n_mels, frames)`, update the state in place, count the step.

    `guard` applies each update, or skips it if a gradient is not finite.
    """
    with _bf16(noisy):
        enhanced = state.enhancer(noisy)
    distance, delta = distances(enhanced, clean)
    losses = {"distance": distance, "delta": delta}
    loss: Tensor | None = distance + state.config.training.delta_weight * delta
    if state.adversarial:
        loss = _adversarial_step(state, enhanced, clean, losses, guard)
    if loss is not None:
        state.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(state.enhancer.parameters(), _MAX_GRADIENT_NORM)
        guard.update(state.optimizer, norm)
    guard.end_step()
    if state.adversarial:
        state.update_ema()
    state.step += 1
    return {name: value.detach() for name, value in losses.items()}


def distances(enhanced: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
    """Return the L1 distance, and that of the differences along time and frequency."""
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
    """Update the discriminator; return the enhancer's loss, or None if it is not updated yet."""
    with _bf16(enhanced):
        clean_scores, _ = state.discriminator(clean)
        scores, _ = state.discriminator(enhanced.detach())
    loss_d = torch.mean((1 - clean_scores.float()) ** 2) + torch.mean(scores.float() ** 2)
    state.optimizer_d.zero_grad()
    loss_d.backward()  # type: ignore[no-untyped-call]
    guard.update(state.optimizer_d, gradient_norm(state.optimizer_d))
    losses["discriminator"] = loss_d
    if state.step - state.adversarial_start < DISCRIMINATOR_ONLY_STEPS:
        return None
    state.discriminator.requires_grad_(requires_grad=False)
    with _bf16(enhanced):
        with torch.no_grad():
            _, clean_maps = state.discriminator(clean)
        scores, maps = state.discriminator(enhanced)
    state.discriminator.requires_grad_(requires_grad=True)
    losses["adversarial"] = torch.mean((1 - scores.float()) ** 2)
    losses["feature"] = torch.stack(
        [F.l1_loss(a.float(), b.float()) for a, b in zip(maps, clean_maps, strict=True)]
    ).sum()
    return torch.stack([weight * losses[term] for term, weight in _WEIGHTS.items()]).sum()


def _bf16(tensor: Tensor) -> torch.autocast:
    """Run convolutions and matrix products in bfloat16, which is precise enough here."""
    return torch.autocast(tensor.device.type, torch.bfloat16)
