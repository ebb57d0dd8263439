"""The signs of trouble in a run's figures, each reported once, with what to do about it.

The checks read the same lines that metrics.jsonl holds, the warnings among them. So a resumed run,
which reads them again first, knows what it saw and reported, and the checkpoint need not. A sign
must last over several lines before it is reported, and be gone as long before it is reported again.

The least-squares loss of one discriminator is 0.5 at chance and 0 where it always knows which is
which; a loss is summed over eight.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from hifigan_cli.models.discriminators import PERIODS, SCALES
from hifigan_cli.training.events import Warned
from hifigan_cli.training.progress import SURE, fit_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hifigan_cli.config import TrainConfig

DISCRIMINATORS = (
    *(f"period_{period}" for period in PERIODS),
    *(f"scale_{2**scale}" for scale in range(SCALES)),
)
COLLAPSED = 0.01  # of the first learning rate
_MUCH_LEFT = 0.1  # of all steps
WON = 0.05  # loss of one discriminator: a tenth of chance
SAME = 0.005  # spread of answers: 0.002 before anything is learned, at work 0.05 to 0.3
VANISHED = 1e-4  # norm of all gradients; one at work has about 1 to 100
SILENT_DB = -40.0  # against the recordings
LOGS, VALIDATIONS = 20, 3  # lines over which a sign must last
SETTLED = 500  # steps in which all is quiet and the same, and no sign yet
LONG = 10  # validations without a better one
_WORSE = 1.02  # times what followed the best

_RESTART = "go on in a new run with new discriminators: --init RUN/best.safetensors --out OTHER"


class Sign(NamedTuple):
    """A look at one sign of trouble: whether it shows, over how many looks it must, and words."""

    kind: str
    shown: bool
    lasting: int
    message: str
    hint: str


class HealthChecks:
    """Reads a run's figures as they come, and reports where something is wrong.

    It first reads, without a warning, the `entries` that the run wrote up to the step where it goes
    on.

    Attributes:
        validations: steps and errors of all validations so far.
    """

    def __init__(self, config: TrainConfig, entries: Iterable[Mapping[str, Any]] = ()) -> None:
        self._config = config
        self._adversarial_from = SETTLED + config.adversarial_start
        self._signs: dict[str, deque[bool]] = {}
        self._reported: set[str] = set()
        self.validations: list[tuple[int, float]] = []
        self._best = 0  # its place among them
        for entry in entries:
            if entry["event"] == "warning":
                self._reported.add(entry["kind"])
            elif entry["event"] in ("train", "validation"):
                self.see(entry["event"], entry["step"], entry, silently=True)

    def see(
        self, event: str, step: int, figures: Mapping[str, Any], *, silently: bool = False
    ) -> list[Warned]:
        """Read the figures of one `train` or `validation` line; return what is newly wrong."""
        signs = {"train": self._train, "validation": self._validation}[event]
        found = []
        for kind, shown, lasting, message, hint in signs(step, figures):
            if self._lasts(kind, shown, lasting) and not silently:
                self._reported.add(kind)
                found.append(Warned(step, kind, message, hint))
        return found

    def _lasts(self, kind: str, shown: bool, lasting: int) -> bool:
        """Note one more look at a sign; return whether it has lasted and was not reported yet."""
        seen = self._signs.setdefault(kind, deque(maxlen=lasting))
        seen.append(shown)
        if len(seen) < lasting:
            return False
        if not any(seen):
            self._reported.discard(kind)
        return all(seen) and kind not in self._reported

    def _train(self, step: int, figures: Mapping[str, Any]) -> Iterator[Sign]:
        train, rate = self._config, figures["learning_rate"]
        left = train.steps - step
        yield Sign(
            "learning_rate",
            rate < COLLAPSED * train.learning_rate and left > _MUCH_LEFT * train.steps,
            1,
            f"the learning rate has fallen to {rate:.2g}, {rate / train.learning_rate:.2%} of its "
            f"start, with {left:,} steps still to go: they will change little",
            "stop here; or go on in a new run with a slower decay: "
            "--init RUN --out OTHER --set lr_decay_steps=N",
        )
        if step < self._adversarial_from or "discriminator_gradient" not in figures:
            return
        loss, gradient = figures["discriminator"], figures["discriminator_gradient"]
        yield Sign(
            "discriminators_win",
            loss < WON * len(DISCRIMINATORS),
            LOGS,
            f"the discriminators' loss has been near 0 for {LOGS} reports (now {loss:.4f}; chance "
            f"is {len(DISCRIMINATORS) / 2:g}): they know the training clips by heart and teach "
            "nothing more",
            f"more training data, or {_RESTART}",
        )
        yield Sign(
            "discriminator_gradient",
            gradient < VANISHED,
            LOGS,
            f"the discriminators' gradients have vanished for {LOGS} reports (now {gradient:.2g})",
            _RESTART,
        )

    def _validation(self, step: int, figures: Mapping[str, Any]) -> Iterator[Sign]:
        error = figures["mel_l1_full"]
        self.validations.append((step, error))
        if error < self.validations[self._best][1]:
            self._best = len(self.validations) - 1
        yield self._rising()
        if step < SETTLED:
            return
        if "level_db" in figures:
            level_db = figures["level_db"]
            yield Sign(
                "silent_generator",
                level_db < SILENT_DB,
                2,
                f"the generator's output is silent or constant: {-level_db:.0f} dB below the "
                "recordings",
                "listen to the clips in the run's validation_audio/; then start over (--fresh) "
                "with a lower learning rate: --set learning_rate=1e-4",
            )
        for name in DISCRIMINATORS if step >= self._adversarial_from else ():
            if f"{name}.spread" in figures:
                terms = (figures[f"{name}.{part}"] for part in ("real", "fake", "spread"))
                yield from _check_discriminator(name, *terms)

    def _rising(self) -> Sign:
        best_step, best = self.validations[self._best]
        since = self.validations[self._best + 1 :]
        line = fit_line(*zip(*since, strict=True)) if len(since) >= LONG else None
        # The best is lucky where figures are noisy; what came after it is compared with itself.
        first, lately = (_mean(part) for part in (since[: LONG // 2], since[-LONG // 2 :]))
        rising = line is not None and line.slope > SURE * line.slope_error
        return Sign(
            f"validation_rises_since_{best_step}",
            rising and lately > _WORSE * first,
            1,
            f"the validation error has been rising for long: {lately:.4f} lately, the best was "
            f"{best:.4f} at step {best_step:,}, {len(since)} validations ago",
            "best.safetensors in the run's folder is the model of that step; stop, or add data",
        )


def _mean(points: Sequence[tuple[int, float]]) -> float:
    return sum(error for _, error in points) / max(len(points), 1)


def _check_discriminator(name: str, real: float, fake: float, spread: float) -> Iterator[Sign]:
    title = f"discriminator {name.replace('_', ' ')}"
    yield Sign(
        f"{name}_is_dead",
        spread < SAME,
        VALIDATIONS,
        f"{title} is dead: for {VALIDATIONS} validations it has answered the same to everything "
        f"(spread {spread:.4f})",
        _RESTART,
    )
    yield Sign(
        f"{name}_wins",
        real + fake < WON,
        VALIDATIONS,
        f"{title} wins everything: for {VALIDATIONS} validations its loss has been near 0 (now "
        f"{real + fake:.4f}; chance is 0.5), so the generator learns nothing from it",
        f"let it train on if the validation error still falls; else {_RESTART}",
    )
