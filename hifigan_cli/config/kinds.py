"""The kinds of values that a configuration is made of: strict, bounded, finite."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

# Strict: `true` is not a 1. 2^63 - 1 is the highest integer of TOML.
Positive = Annotated[int, Field(gt=0, le=2**63 - 1, strict=True)]
Whole = Annotated[int, Field(ge=0, le=2**63 - 1, strict=True)]
Real = Annotated[float, Field(strict=True)]
NotNegative = Annotated[Real, Field(ge=0)]
Fraction = Annotated[Real, Field(ge=0, lt=1)]
Width = Annotated[Real, AfterValidator(lambda v: _one_of(v, (1.0, 0.5, 0.25, 0.125)))]
Ratio = Annotated[Real, Field(ge=0.01, le=2)]


def _one_of(value: float, allowed: tuple[float, ...]) -> float:
    if value not in allowed:
        raise ValueError(f"must be one of {', '.join(f'{each:g}' for each in allowed)}")
    return value


class Frozen(BaseModel):
    """What every part of a configuration is: unchangeable, of known keys and finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
