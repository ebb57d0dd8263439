"""Detect training problems in the metrics and report each one once, with advice.

The checks read the lines of metrics.jsonl, including the warnings. A resumed run reads them again
first, so it knows what was already reported, and the checkpoint does not need to store it. A check
must fail for several lines before it is reported, and pass for as many before it is reported again.

The least-squares loss of one discriminator is 0.5 at chance and 0 if it always separates recordings
from generated audio. The logged loss is the sum over all eight.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from hifigan_cli.models.discriminators import PERIODS, SCALES
from hifigan_cli.training.events import HealthWarning
from hifigan_cli.training.progress import MIN_T_STATISTIC, fit_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hifigan_cli.config import TrainConfig

DISCRIMINATOR_NAMES = (
    *(f"period_{period}" for period in PERIODS),
    *(f"scale_{2**scale}" for scale in range(SCALES)),
)
MIN_LEARNING_RATE_RATIO = 0.01  # fraction of the initial learning rate
_MIN_REMAINING_RATIO = 0.1  # fraction of all steps
WINNING_LOSS = 0.05  # loss of one discriminator, a tenth of chance
MIN_SCORE_SPREAD = 0.005  # standard deviation of scores: 0.002 untrained, normally 0.05 to 0.3
MIN_GRADIENT_NORM = 1e-4  # norm of all gradients, normally about 1 to 100
MIN_LEVEL_DB = -40.0  # relative to the recordings
LOG_PATIENCE, VALIDATION_PATIENCE = 20, 3  # lines for which a check must fail
GRACE_STEPS = 500  # initial steps in which silence and equal scores are normal
RISE_WINDOW = 10  # validations after the best; each half is averaged
_MIN_RISE_RATIO = 1.02  # recent errors relative to those right after the best

_RESTART = "start a new run with new discriminators: --init RUN/best.safetensors --out OTHER"


class CheckResult(NamedTuple):
    """The result of one check; it is reported after failing `patience` times in a row."""

    kind: str
    failed: bool
    patience: int
    message: str
    hint: str


class HealthChecks:
    """Checks the metrics of a run and reports problems.

    `entries` are the lines that a resumed run wrote earlier; they are read without warnings.

    Attributes:
        validations: the steps and errors of all validations so far.
    """

    def __init__(self, config: TrainConfig, entries: Iterable[Mapping[str, Any]] = ()) -> None:
        self._config = config
        self._adversarial_grace_end = GRACE_STEPS + config.adversarial_start
        self._recent: dict[str, deque[bool]] = {}
        self._reported: set[str] = set()
        self.validations: list[tuple[int, float]] = []
        self._best = 0  # index into validations
        for entry in entries:
            if entry["event"] == "warning":
                self._reported.add(entry["kind"])
            elif entry["event"] in ("train", "validation"):
                self.check(entry["event"], entry["step"], entry, silent=True)

    def check(
        self, event: str, step: int, metrics: Mapping[str, Any], *, silent: bool = False
    ) -> list[HealthWarning]:
        """Check the metrics of one `train` or `validation` line; return the new warnings."""
        checks = {"train": self._train, "validation": self._validation}[event]
        warnings = []
        for kind, failed, patience, message, hint in checks(step, metrics):
            if self._should_report(kind, failed, patience) and not silent:
                self._reported.add(kind)
                warnings.append(HealthWarning(step, kind, message, hint))
        return warnings

    def _should_report(self, kind: str, failed: bool, patience: int) -> bool:
        """Record a result; return whether the check failed long enough and is not reported yet."""
        recent = self._recent.setdefault(kind, deque(maxlen=patience))
        recent.append(failed)
        if len(recent) < patience:
            return False
        if not any(recent):
            self._reported.discard(kind)
        return all(recent) and kind not in self._reported

    def _train(self, step: int, metrics: Mapping[str, Any]) -> Iterator[CheckResult]:
        train, lr = self._config, metrics["learning_rate"]
        remaining = train.steps - step
        yield CheckResult(
            "learning_rate",
            lr < MIN_LEARNING_RATE_RATIO * train.learning_rate
            and remaining > _MIN_REMAINING_RATIO * train.steps,
            1,
            f"the learning rate has fallen to {lr:.2g}, {lr / train.learning_rate:.2%} of its "
            f"initial value; the remaining {remaining:,} steps will change little",
            "stop here, or start a new run with a slower decay: "
            "--init RUN --out OTHER --set lr_decay_steps=N",
        )
        if step < self._adversarial_grace_end or "discriminator_gradient" not in metrics:
            return
        loss, gradient = metrics["discriminator"], metrics["discriminator_gradient"]
        yield CheckResult(
            "discriminators_win",
            loss < WINNING_LOSS * len(DISCRIMINATOR_NAMES),
            LOG_PATIENCE,
            f"the discriminators' loss has been near 0 for {LOG_PATIENCE} log entries (now "
            f"{loss:.4f}, chance is {len(DISCRIMINATOR_NAMES) / 2:g}): they separate "
            "recordings from generated audio, so the generator learns little from them",
            f"add training data, or {_RESTART}",
        )
        yield CheckResult(
            "discriminator_gradient",
            gradient < MIN_GRADIENT_NORM,
            LOG_PATIENCE,
            f"the discriminators' gradients have been near 0 for {LOG_PATIENCE} log entries "
            f"(now {gradient:.2g})",
            _RESTART,
        )

    def _validation(self, step: int, metrics: Mapping[str, Any]) -> Iterator[CheckResult]:
        error = metrics["mel_l1_full"]
        self.validations.append((step, error))
        if error < self.validations[self._best][1]:
            self._best = len(self.validations) - 1
        yield self._rising()
        if step < GRACE_STEPS:
            return
        if "level_db" in metrics:
            level_db = metrics["level_db"]
            yield CheckResult(
                "silent_generator",
                level_db < MIN_LEVEL_DB,
                2,
                f"the generator's output is silent or constant: {-level_db:.0f} dB below the "
                "recordings",
                "listen to the clips in the run's validation_audio/, then restart with --fresh "
                "and a lower learning rate: --set learning_rate=1e-4",
            )
        for name in DISCRIMINATOR_NAMES if step >= self._adversarial_grace_end else ():
            if f"{name}.spread" in metrics:
                terms = (metrics[f"{name}.{part}"] for part in ("real", "fake", "spread"))
                yield from _check_discriminator(name, *terms)

    def _rising(self) -> CheckResult:
        best_step, best = self.validations[self._best]
        since = self.validations[self._best + 1 :]
        trend = fit_line(*zip(*since, strict=True)) if len(since) >= RISE_WINDOW else None
        # With noisy metrics the best is an outlier, so later errors are compared with each other.
        first, recent = (
            _mean(part) for part in (since[: RISE_WINDOW // 2], since[-RISE_WINDOW // 2 :])
        )
        rising = trend is not None and trend.slope > MIN_T_STATISTIC * trend.slope_error
        return CheckResult(
            f"validation_rises_since_{best_step}",
            rising and recent > _MIN_RISE_RATIO * first,
            1,
            f"the validation error is rising: it is now {recent:.4f}; the best was {best:.4f} at "
            f"step {best_step:,}, {len(since)} validations ago",
            "stop, or add training data; best.safetensors is the model of that step",
        )


def _mean(points: Sequence[tuple[int, float]]) -> float:
    return sum(error for _, error in points) / max(len(points), 1)


def _check_discriminator(
    name: str, real: float, fake: float, spread: float
) -> Iterator[CheckResult]:
    title = f"discriminator {name.replace('_', ' ')}"
    yield CheckResult(
        f"{name}_is_dead",
        spread < MIN_SCORE_SPREAD,
        VALIDATION_PATIENCE,
        f"{title} is dead: for {VALIDATION_PATIENCE} validations all its scores have been equal "
        f"(standard deviation {spread:.4f})",
        _RESTART,
    )
    yield CheckResult(
        f"{name}_wins",
        real + fake < WINNING_LOSS,
        VALIDATION_PATIENCE,
        f"{title} always wins: for {VALIDATION_PATIENCE} validations its loss has been near 0 (now "
        f"{real + fake:.4f}, chance is 0.5), so the generator learns nothing from it",
        f"continue if the validation error still falls; otherwise {_RESTART}",
    )
