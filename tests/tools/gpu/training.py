"""One step of the restorer's training, first on distances, then against discriminators.

On a GPU a step is captured as a CUDA graph after a few runs: it consists of some thousand short
kernels, and launching them one by one would take longer than computing them.
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
from tests.tools.gpu.network import Discriminators, Restorer
from tests.tools.gpu.pool import DRAWS

if TYPE_CHECKING:
    from tests.tools.gpu.pool import Batch, DevicePool

ADVERSARIAL_FROM = 1 / 3  # of the run
LOSSES = ("l1", "differences", "discriminator", "adversarial", "feature", "gradient")
# Against the discriminators; before them the differences weigh _EARLY_DIFFERENCES.
_L1, _DIFFERENCES, _ADVERSARIAL, _FEATURE = 2.0, 0.5, 0.4, 1.5
_EARLY_DIFFERENCES = 0.4
_RATE, _LATE_RATE, _DISCRIMINATOR_RATE = 1.5e-3, 3e-4, 4e-4
_WARM_UP, _LATE_WARM_UP = 0.03, 0.03  # of a phase
_DISCRIMINATORS_FIRST, _RAMP = 60, 200  # steps
_LONGEST_GRADIENT = 1.0
_EMA_BLEND = 0.002  # at least; more while there are few steps to average
_EAGER_STEPS = 3  # before a step is captured


class RestorerTraining:
    """Networks, optimizers and losses of a run.

    Attributes:
        sums: of each loss since they were last read, on the device.
    """

    def __init__(
        self,
        restorer: Restorer,
        discriminators: Discriminators,
        pool: DevicePool,
        device: torch.device,
        batch_size: int,
    ) -> None:
        self.restorer, self.discriminators = restorer.to(device), discriminators.to(device)
        self.ema = copy.deepcopy(self.restorer).requires_grad_(requires_grad=False)
        self.step, self.device = 0, device
        self.adversarial = False
        self.sums = torch.zeros(len(LOSSES), device=device)
        self._pool, self._guard = pool, NonfiniteGuard(device)
        self._draws = torch.empty(batch_size, DRAWS, device=device)
        self._ramp = torch.zeros((), device=device)
        self._blend = torch.ones((), device=device)
        self._steps = 0  # of this leg
        self._adversarial_steps = 0
        self._optimizer = _adamw(self.restorer.parameters(), (0.9, 0.98), device)
        self._discriminator_optimizer = _adamw(discriminators.parameters(), (0.8, 0.98), device)

    def begin_adversarial(self) -> None:
        """Start the second phase, with an optimizer that knows nothing of the first."""
        self.adversarial = True
        self._optimizer = _adamw(self.restorer.parameters(), (0.8, 0.98), self.device)

    def update(self, run: Callable[[], None], fraction: float) -> None:
        """Set the learning rates for an elapsed fraction of the run, and run a step."""
        self._draws.uniform_()
        _set_rate(self._optimizer, learning_rate(fraction, adversarial=self.adversarial))
        if self.adversarial:
            _set_rate(self._discriminator_optimizer, _DISCRIMINATOR_RATE * late_decay(fraction))
            ramp = (self._adversarial_steps - _DISCRIMINATORS_FIRST) / _RAMP
            self._ramp.fill_(min(1.0, max(0.0, ramp)))
            self._adversarial_steps += 1
        self._blend.fill_(max(_EMA_BLEND, 5 / (5 + self._steps)))
        run()
        self.step += 1
        self._steps += 1

    def run_step(self) -> None:
        """Compute one step from the numbers in `_draws`; nothing in it waits for the device."""
        batch = self._pool.batch(self._draws)
        with self._precision():
            restored = self.restorer(batch.noisy, batch.filtered, batch.floors)
        l1, differences = distances(restored, batch.clean)
        zero = torch.zeros_like(l1)
        discriminator = adversarial = feature = zero
        if self.adversarial:
            discriminator, adversarial, feature = self._against(restored, batch)
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
        norm = nn.utils.clip_grad_norm_(self.restorer.parameters(), _LONGEST_GRADIENT)
        self._guard.update(self._optimizer, norm)
        if self.adversarial:
            # After both gradients: they are of the weights before.
            gradients = [p.grad for p in self.discriminators.parameters() if p.grad is not None]
            self._guard.update(self._discriminator_optimizer, nn.utils.get_total_norm(gradients))
        self._guard.end_step()
        with torch.no_grad():
            kept: list[Tensor] = list(self.ema.parameters())
            new: list[Tensor] = list(self.restorer.parameters())
            steps = torch._foreach_sub(new, kept)
            torch._foreach_mul_(steps, self._blend)
            torch._foreach_add_(kept, steps)
            losses = (l1, differences, discriminator, adversarial, feature, norm)
            self.sums += torch.stack([loss.detach().float() for loss in losses])

    def _against(self, restored: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return the discriminators' loss, and the restorer's adversarial and feature losses.

        One pass serves both: each loss goes back to its own weights only.
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
        """Compute products in bfloat16 on a GPU; many CPUs have no instructions for it."""
        cuda = self.device.type == "cuda"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=cuda)

    def read(self) -> dict[str, float]:
        """Wait for the device; return the sums and start new ones, with the updates left out."""
        values = [*self.sums.tolist(), float(self._guard.read()[0])]
        self.sums.zero_()
        return dict(zip((*LOSSES, "left_out"), values, strict=True))


class Stepper:
    """Runs a training's steps: at first as they are, then captured as CUDA graphs."""

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
            training.update(self._replayed(), fraction)

    def _replayed(self) -> Callable[[], None]:
        """Return what replays the phase's step, which is captured now if it was not before."""
        training = self._training
        if self._replay is None:
            for parameter in (
                *training.restorer.parameters(),
                *training.discriminators.parameters(),
            ):
                parameter.grad = None  # the captured step has gradients of its own
            try:
                _, self._replay = self._capture(training.run_step)
                self._report("step captured as a CUDA graph")
            except RuntimeError as error:
                self._report(f"going on without CUDA graphs: {str(error).splitlines()[0]}")
                self._capture = None
        return self._replay or training.run_step


def distances(restored: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean absolute distance, and that of the differences in time and frequency."""
    in_time = F.l1_loss(restored.diff(dim=2), clean.diff(dim=2))
    in_frequency = F.l1_loss(restored.diff(dim=1), clean.diff(dim=1))
    return F.l1_loss(restored, clean), in_time + in_frequency


def learning_rate(fraction: float, *, adversarial: bool) -> float:
    """Return the restorer's learning rate after a fraction of the run.

    >>> learning_rate(1.0, adversarial=True) < learning_rate(0.5, adversarial=True)
    True
    """
    if adversarial:
        done = (fraction - ADVERSARIAL_FROM) / (1 - ADVERSARIAL_FROM)
        return _LATE_RATE * max(1e-2, min(1.0, done / _LATE_WARM_UP)) * late_decay(fraction)
    done = fraction / ADVERSARIAL_FROM
    rise = max(1e-2, min(1.0, done / _WARM_UP))
    return rise * (_LATE_RATE + (_RATE - _LATE_RATE) * 0.5 * (1 + math.cos(math.pi * done)))


def late_decay(fraction: float) -> float:
    """Return a factor that falls from 1 at 60 % of the run to 0.05 at its end."""
    return 1 - 0.95 * min(1.0, max(0.0, (fraction - 0.6) / 0.4))


def _adamw(
    parameters: Iterable[nn.Parameter], betas: tuple[float, float], device: torch.device
) -> torch.optim.AdamW:
    """Return an optimizer whose learning rate lies on the device, where a graph reads it."""
    rate: Any = torch.zeros((), device=device) if device.type == "cuda" else 0.0
    cuda = device.type == "cuda"
    optimizer = torch.optim.AdamW(
        parameters, lr=rate, betas=betas, weight_decay=0.02, fused=True, capturable=cuda
    )
    # The first steps run before the capture on purpose; torch warns about them otherwise.
    optimizer._warned_capturable_if_run_uncaptured = True
    return optimizer


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
