"""One update of the enhancer, and of its judge where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from hifigan_cli.enhancement.training.state import JUDGE_ALONE_STEPS
from hifigan_cli.training.step import gradient_norm

if TYPE_CHECKING:
    from hifigan_cli.enhancement.training.state import EnhancerState
    from hifigan_cli.training.runtime.guard import Guard

# Beside the judge: distance, differences, verdict, features.
_WEIGHTS = (2.0, 0.5, 0.25, 1.0)
_LONGEST_GRADIENT = 1.0


def enhancer_step(
    state: EnhancerState, noisy: Tensor, clean: Tensor, guard: Guard
) -> dict[str, Tensor]:
    """Learn from one batch `(batch, mels, frames)`, in place, and count the step.

    `guard` makes each update, or leaves it out where a gradient is not finite.
    """
    with _bf16(noisy):
        made = state.enhancer(noisy)
    distance, differences = distances(made, clean)
    losses = {"distance": distance, "differences": differences}
    if state.adversarial:
        loss = _against_judge(state, made, clean, losses, guard)
    else:
        loss = distance + state.run.training.difference_weight * differences
    if loss is not None:
        state.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(state.enhancer.parameters(), _LONGEST_GRADIENT)
        guard.update(state.optimizer, norm)
    guard.end_step()
    if state.adversarial:
        state.follow()
    state.step += 1
    return {name: value.detach() for name, value in losses.items()}


def distances(made: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean absolute distance, and that of the differences in time and frequency."""
    in_time = F.l1_loss(made.diff(dim=2), clean.diff(dim=2))
    in_frequency = F.l1_loss(made.diff(dim=1), clean.diff(dim=1))
    return F.l1_loss(made, clean), in_time + in_frequency


def _against_judge(
    state: EnhancerState, made: Tensor, clean: Tensor, losses: dict[str, Tensor], guard: Guard
) -> Tensor | None:
    """Let the judge learn; return the enhancer's loss, or None while the judge learns alone."""
    with _bf16(made):
        real, _ = state.judge(clean)
        fake, _ = state.judge(made.detach())
    verdict = torch.mean((1 - real.float()) ** 2) + torch.mean(fake.float() ** 2)
    state.judge_optimizer.zero_grad()
    verdict.backward()  # type: ignore[no-untyped-call]
    guard.update(state.judge_optimizer, gradient_norm(state.judge_optimizer))
    losses["judge"] = verdict
    if state.step - state.first_adversarial_step < JUDGE_ALONE_STEPS:
        return None
    state.judge.requires_grad_(requires_grad=False)
    with _bf16(made):
        with torch.no_grad():
            _, wanted = state.judge(clean)
        fake, found = state.judge(made)
    state.judge.requires_grad_(requires_grad=True)
    losses["adversarial"] = torch.mean((1 - fake.float()) ** 2)
    losses["feature"] = torch.stack(
        [F.l1_loss(f.float(), w.float()) for f, w in zip(found, wanted, strict=True)]
    ).sum()
    terms = ("distance", "differences", "adversarial", "feature")
    return torch.stack([w * losses[t] for w, t in zip(_WEIGHTS, terms, strict=True)]).sum()


def _bf16(like: Tensor) -> torch.autocast:
    """Compute convolutions and products in bfloat16; everything here bears it."""
    return torch.autocast(like.device.type, torch.bfloat16)
