"""Compute training steps of the restorer, first with distances, then with discriminators.

On a GPU, a step is captured as a CUDA graph after a few runs: it has several thousand short
kernels, and launching them takes longer than computing them.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from hifigan_cli.training.nonfinite_guard import NonfiniteGuard
from tests.tools.gpu.network import Discriminators, FilteredMelRestorer
from tests.tools.gpu.pair_buffer import RANDOM_NUMBERS_PER_PAIR

if TYPE_CHECKING:
    from tests.tools.gpu.pair_buffer import MelBatch, PairBuffer

ADVERSARIAL_START = 1 / 3  # fraction of the run
LOSSES = ("l1", "differences", "discriminator", "adversarial", "feature", "gradient")
# Loss weights with discriminators; before, the differences have the weight _EARLY_DIFFERENCES.
_L1, _DIFFERENCES, _ADVERSARIAL, _FEATURE = 2.0, 0.5, 0.4, 1.5
_EARLY_DIFFERENCES = 0.4
_LEARNING_RATE, _LATE_LEARNING_RATE, _DISCRIMINATOR_LEARNING_RATE = 1.5e-3, 3e-4, 4e-4
_WARM_UP, _LATE_WARM_UP = 0.03, 0.03  # fractions of a phase
_DISCRIMINATOR_ONLY_STEPS, _RAMP_STEPS = 60, 200  # steps
_MAX_GRADIENT_NORM = 1.0
_MIN_EMA_WEIGHT = 0.002  # higher in the first steps
_EAGER_STEPS = 3  # before the capture


class RestorerTraining:
    """Networks, optimizers and losses of a run.

    Attributes:
        sums: sum of each loss since the last `read`, on the device.
    """

    def __init__(
        self,
        restorer: FilteredMelRestorer,
        discriminators: Discriminators,
        buffer: PairBuffer,
        device: torch.device,
        batch_size: int,
    ) -> None:
        self.restorer, self.discriminators = restorer.to(device), discriminators.to(device)
        self.ema = copy.deepcopy(self.restorer).requires_grad_(requires_grad=False)
        self.step, self.device = 0, device
        self.adversarial = False
        self.sums = torch.zeros(len(LOSSES), device=device)
        self._buffer, self._guard = buffer, NonfiniteGuard(device)
        self._random_numbers = torch.empty(batch_size, RANDOM_NUMBERS_PER_PAIR, device=device)
        self._ramp = torch.zeros((), device=device)
        self._ema_weight = torch.ones((), device=device)
        self._session_steps = 0
        self._adversarial_steps = 0
        self._optimizer = _adamw(self.restorer.parameters(), (0.9, 0.98), device)
        self._discriminator_optimizer = _adamw(discriminators.parameters(), (0.8, 0.98), device)

    def begin_adversarial(self) -> None:
        """Start the second phase, with a new optimizer."""
        self.adversarial = True
        self._optimizer = _adamw(self.restorer.parameters(), (0.8, 0.98), self.device)

    def update(self, run: Callable[[], None], fraction: float) -> None:
        """Set the learning rates for an elapsed fraction of the run, and run a step."""
        self._random_numbers.uniform_()
        _set_learning_rate(self._optimizer, learning_rate(fraction, adversarial=self.adversarial))
        if self.adversarial:
            _set_learning_rate(
                self._discriminator_optimizer, _DISCRIMINATOR_LEARNING_RATE * late_decay(fraction)
            )
            ramp = (self._adversarial_steps - _DISCRIMINATOR_ONLY_STEPS) / _RAMP_STEPS
            self._ramp.fill_(min(1.0, max(0.0, ramp)))
            self._adversarial_steps += 1
        self._ema_weight.fill_(max(_MIN_EMA_WEIGHT, 5 / (5 + self._session_steps)))
        run()
        self.step += 1
        self._session_steps += 1

    def run_step(self) -> None:
        """Compute one step from `_random_numbers`, without waiting for the device."""
        batch = self._buffer.batch(self._random_numbers)
        with self._precision():
            restored = self.restorer(batch.noisy, batch.filtered, batch.floors)
        l1, differences = distances(restored, batch.clean)
        zero = torch.zeros_like(l1)
        discriminator = adversarial = feature = zero
        if self.adversarial:
            discriminator, adversarial, feature = self._adversarial_losses(restored, batch)
            self._discriminator_optimizer.zero_grad()
            discriminator.backward(  # type: ignore[no-untyped-call]
                inputs=list(self.discriminators.parameters()), retain_graph=True
            )
            loss = _L1 * l1 + _DIFFERENCES * differences
            loss = loss + self._ramp * (_ADVERSARIAL * adversarial + _FEATURE * feature)
        else:
            loss = l1 + _EARLY_DIFFERENCES * differences
        self._optimizer.zero_grad()
        loss.backward(inputs=list(self.restorer.parameters()))  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.restorer.parameters(), _MAX_GRADIENT_NORM)
        self._guard.update(self._optimizer, norm)
        if self.adversarial:
            # After both backward passes, because they use the weights before the update.
            gradients = [p.grad for p in self.discriminators.parameters() if p.grad is not None]
            self._guard.update(self._discriminator_optimizer, nn.utils.get_total_norm(gradients))
        self._guard.end_step()
        with torch.no_grad():
            ema_weights: list[Tensor] = list(self.ema.parameters())
            weights: list[Tensor] = list(self.restorer.parameters())
            changes = torch._foreach_sub(weights, ema_weights)
            torch._foreach_mul_(changes, self._ema_weight)
            torch._foreach_add_(ema_weights, changes)
            losses = (l1, differences, discriminator, adversarial, feature, norm)
            self.sums += torch.stack([loss.detach().float() for loss in losses])

    def _adversarial_losses(
        self, restored: Tensor, batch: MelBatch
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the discriminators' loss, and the restorer's adversarial and feature losses.

        Both use one forward pass; each backward pass computes gradients of its own weights only.
        """
        with self._precision():
            outputs = self.discriminators(torch.cat([batch.clean, restored]))
        losses = []
        for scores, feature_maps in outputs:
            real, fake = scores.float().chunk(2)
            feature = [
                F.l1_loss(y_hat.float(), y.float().detach())
                for y, y_hat in (feature_map.chunk(2) for feature_map in feature_maps)
            ]
            losses.append(
                torch.stack(
                    [
                        torch.mean((1 - real) ** 2) + torch.mean(fake**2),
                        torch.mean((1 - fake) ** 2),
                        torch.stack(feature).sum(),
                    ]
                )
            )
        discriminator, adversarial, feature_matching = torch.stack(losses).mean(0).unbind()
        return discriminator, adversarial, feature_matching

    def _precision(self) -> torch.autocast:
        """Use bfloat16 on a GPU; many CPUs have no instructions for it."""
        cuda = self.device.type == "cuda"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=cuda)

    def read(self) -> dict[str, float]:
        """Wait for the device; return and reset the sums, with the number of skipped updates."""
        values = [*self.sums.tolist(), float(self._guard.read()[0])]
        self.sums.zero_()
        return dict(zip((*LOSSES, "left_out"), values, strict=True))


class StepRunner:
    """Run training steps: first eagerly, then as CUDA graphs."""

    def __init__(
        self, training: RestorerTraining, report: Callable[[str], None], *, graph: bool
    ) -> None:
        self._training, self._report = training, report
        self._capture: Any = None
        if graph and training.device.type == "cuda":
            from hifigan_cli.training.cuda_graphs import Capture

            self._capture = Capture()
        self._phase: bool | None = None
        self._runs = 0
        self._replay: Callable[[], None] | None = None

    def __call__(self, fraction: float) -> None:
        """Run one step."""
        training = self._training
        if self._phase != training.adversarial:
            self._phase, self._runs, self._replay = training.adversarial, 0, None
        self._runs += 1
        if self._capture is None:
            training.update(training.run_step, fraction)
        elif self._runs <= _EAGER_STEPS:
            training.update(lambda: self._capture.warm_up(training.run_step), fraction)
        else:
            training.update(self._replay_function(), fraction)

    def _replay_function(self) -> Callable[[], None]:
        """Return a function that replays the step of this phase; capture the step if necessary."""
        training = self._training
        if self._replay is None:
            for parameter in (
                *training.restorer.parameters(),
                *training.discriminators.parameters(),
            ):
                parameter.grad = None  # the captured step allocates its own gradients
            try:
                _, self._replay = self._capture(training.run_step)
                self._report("step captured as a CUDA graph")
            except RuntimeError as error:
                self._report(f"CUDA graphs are off: {str(error).splitlines()[0]}")
                self._capture = None
        return self._replay or training.run_step


def distances(restored: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
    """Return the L1 distance, and that of the differences in time and frequency."""
    in_time = F.l1_loss(restored.diff(dim=2), clean.diff(dim=2))
    in_frequency = F.l1_loss(restored.diff(dim=1), clean.diff(dim=1))
    return F.l1_loss(restored, clean), in_time + in_frequency


def learning_rate(fraction: float, *, adversarial: bool) -> float:
    """Return the restorer's learning rate after a fraction of the run.

    >>> learning_rate(1.0, adversarial=True) < learning_rate(0.5, adversarial=True)
    True
    """
    if adversarial:
        done = (fraction - ADVERSARIAL_START) / (1 - ADVERSARIAL_START)
        return (
            _LATE_LEARNING_RATE * max(1e-2, min(1.0, done / _LATE_WARM_UP)) * late_decay(fraction)
        )
    done = fraction / ADVERSARIAL_START
    warm_up = max(1e-2, min(1.0, done / _WARM_UP))
    return warm_up * (
        _LATE_LEARNING_RATE
        + (_LEARNING_RATE - _LATE_LEARNING_RATE) * 0.5 * (1 + math.cos(math.pi * done))
    )


def late_decay(fraction: float) -> float:
    """Return a factor that falls from 1 at 60 % of the run to 0.05 at its end."""
    return 1 - 0.95 * min(1.0, max(0.0, (fraction - 0.6) / 0.4))


def _adamw(
    parameters: Iterable[nn.Parameter], betas: tuple[float, float], device: torch.device
) -> torch.optim.AdamW:
    """Return an optimizer with its learning rate on the device, where a CUDA graph reads it."""
    lr: Any = torch.zeros((), device=device) if device.type == "cuda" else 0.0
    cuda = device.type == "cuda"
    optimizer = torch.optim.AdamW(
        parameters, lr=lr, betas=betas, weight_decay=0.02, fused=True, capturable=cuda
    )
    # The first steps run before the capture on purpose; this turns off the warning of torch.
    optimizer._warned_capturable_if_run_uncaptured = True
    return optimizer


def _set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr
