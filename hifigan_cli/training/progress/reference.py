"""The errors of the official training, and where an error stands among them.

Of V1 the validation error is known at several steps, of V2 and V3 only where it ended. All are
mel_l1_full on LJSpeech clips that the training did not see; another corpus has another curve, so
the comparison is a yardstick and no verdict.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hifigan_cli.config.presets import PRESETS

if TYPE_CHECKING:
    from hifigan_cli.config import Config


@dataclass(frozen=True)
class Reference:
    """What the official training of a preset reached.

    Attributes:
        preset: its name.
        bar: the highest mel_l1_full that a model of this class may have; one of several bars.
        converged: mel_l1_full at the end of the official training.
        curve: steps and mel_l1_full on the way there, in falling order of the error; may be empty.
    """

    preset: str
    bar: float
    converged: float
    curve: tuple[tuple[int, float], ...] = ()


REFERENCES = {
    "v1": Reference(
        "v1",
        bar=0.23,
        converged=0.214,
        curve=(
            (140_000, 0.287),
            (200_000, 0.275),
            (350_000, 0.260),
            (500_000, 0.253),
            (600_000, 0.247),
            (1_000_000, 0.234),
            (2_000_000, 0.218),
            (2_500_000, 0.214),
        ),
    ),
    "v2": Reference("v2", bar=0.335, converged=0.325),
    "v3": Reference("v3", bar=0.36, converged=0.345),
}


@dataclass(frozen=True)
class Standing:
    """Where an error stands among those of the official training.

    Attributes:
        preset: whose training it is compared with.
        bar: what mel_l1_full must be under, among other things, to be of that class.
        converged: where the official training ended.
        official_steps: after how many steps the official training had this error; None where it is
            higher than the earliest that is known, or lower than the last, or no curve is known.
        earliest: the first known step of the curve, and its error.
    """

    preset: str
    bar: float
    converged: float
    official_steps: int | None
    earliest: tuple[int, float] | None

    def figures(self) -> dict[str, float]:
        """Return the numbers that a run records with each validation."""
        found: dict[str, float] = {"official_converged": self.converged}
        if self.official_steps is not None:
            found["official_steps"] = self.official_steps
        return found


def reference_of(config: Config) -> Reference | None:
    """Return the official training that has this mel and generator, or None.

    With `overfit` there is nothing to compare: the clips are those that are trained on.
    """
    if config.train.overfit:
        return None
    for name, preset in PRESETS.items():
        if config.mel == preset.mel and config.generator == preset.generator:
            return REFERENCES[name]
    return None


def stand(reference: Reference, mel_l1_full: float) -> Standing:
    """Find where an error stands.

    >>> stand(REFERENCES["v1"], 0.281).official_steps
    167332
    """
    return Standing(
        preset=reference.preset,
        bar=reference.bar,
        converged=reference.converged,
        official_steps=_official_steps(reference, mel_l1_full),
        earliest=reference.curve[0] if reference.curve else None,
    )


def _official_steps(reference: Reference, mel_l1_full: float) -> int | None:
    """Interpolate the curve, whose error falls about evenly with the logarithm of the steps.

    Beyond its ends nothing is claimed: before the first point the error falls faster by an amount
    that no one wrote down, and the last point is where the official training stopped.
    """
    for (step, error), (next_step, next_error) in zip(
        reference.curve, reference.curve[1:], strict=False
    ):
        if next_error <= mel_l1_full <= error:
            share = (error - mel_l1_full) / (error - next_error)
            return round(math.exp((1 - share) * math.log(step) + share * math.log(next_step)))
    return None
