"""Strict values, and how models of other tools differ: in their mel, and in the generator.

The defaults are the official ones. What has them is left out of every file, so that files state
only what is unusual, and those from before these fields existed stay as they are.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)


def _one_of(value: float, allowed: tuple[float, ...]) -> float:
    if value not in allowed:
        raise ValueError(f"must be one of {', '.join(f'{each:g}' for each in allowed)}")
    return value


# Strict: `true` is not a 1. 2^63 - 1 is the highest integer of TOML.
Positive = Annotated[int, Field(gt=0, le=2**63 - 1, strict=True)]
Whole = Annotated[int, Field(ge=0, le=2**63 - 1, strict=True)]
Real = Annotated[float, Field(strict=True)]
NotNegative = Annotated[Real, Field(ge=0)]
StrictlyPositive = Annotated[Real, Field(gt=0)]
Fraction = Annotated[Real, Field(ge=0, lt=1)]
Width = Annotated[Real, AfterValidator(lambda v: _one_of(v, (1.0, 0.5, 0.25, 0.125)))]
Ratio = Annotated[Real, Field(ge=0.01, le=2)]


class Frozen(BaseModel):
    """A part of a configuration: unchangeable, of known keys and finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_serializer(mode="wrap")
    def _dump(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out a convention or a variant that is the official one."""
        fields = type(self).model_fields
        official = {
            name
            for name in ("convention", "variant")
            if name in fields and getattr(self, name) == fields[name].default
        }
        return {name: value for name, value in handler(self).items() if name not in official}


class MelConvention(Frozen):
    """The steps from samples to a mel; `MelConfig` has its sizes.

    The mel is `gain * log(bands of |STFT|^power) + offset`, within `clip`.
    """

    # Frame i is around sample i * hop, and there is one more of them; else it begins there, less
    # the (n_fft - hop) / 2 samples that pad each end.
    center: bool = False
    pad_mode: Literal["reflect", "constant"] = "reflect"
    periodic_window: bool = True  # else the window is symmetric
    magnitude_epsilon: NotNegative = 1e-9  # added to re^2 + im^2
    power: Literal[1, 2] = 1
    mel_scale: Literal["slaney", "htk"] = "slaney"
    mel_norm: Literal["slaney", "none"] = "slaney"  # of the filters: equal areas, or equal heights
    log: Literal["ln", "log10"] = "ln"
    floor: StrictlyPositive = 1e-5
    guard: Literal["clamp", "add"] = "clamp"  # how the floor keeps the logarithm from zero
    gain: StrictlyPositive = 1.0
    offset: Real = 0.0
    clip: tuple[Real, Real] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.clip and not self.clip[0] < self.clip[1]:
            raise ValueError(f"clip must go from low to high, not {self.clip[0]} to {self.clip[1]}")
        return self


class Variant(Frozen):
    """What a generator does otherwise than the official one; `GeneratorConfig` has its sizes.

    `input_mean` and `input_scale` have one value a mel band, or none: the network reads
    (mel - mean) / scale.
    """

    slope: Annotated[Real, Field(ge=0, lt=1)] = 0.1  # of every leaky ReLU but the last
    conv_padding: Literal["zeros", "reflect"] = "zeros"
    input_mean: tuple[Real, ...] = ()
    input_scale: tuple[StrictlyPositive, ...] = ()
    # Copies of the first and of the last frame that are synthesised too, and cut off the samples.
    inference_padding: Annotated[int, Field(ge=0, le=1024, strict=True)] = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.input_mean) != len(self.input_scale):
            raise ValueError("input_mean and input_scale differ in length")
        return self
