"""Strict number types, and how the mels and generators of other toolkits differ.

The defaults are those of the official code. Files omit a convention or variant that equals the
default, so they list only what is unusual.
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


def _check_one_of(value: float, allowed: tuple[float, ...]) -> float:
    if value not in allowed:
        raise ValueError(f"must be one of {', '.join(f'{each:g}' for each in allowed)}")
    return value


# Strict types do not accept `true` as 1. TOML integers end at 2^63 - 1.
PositiveInt = Annotated[int, Field(gt=0, le=2**63 - 1, strict=True)]
NonNegativeInt = Annotated[int, Field(ge=0, le=2**63 - 1, strict=True)]
FiniteFloat = Annotated[float, Field(strict=True)]
NonNegativeFloat = Annotated[FiniteFloat, Field(ge=0)]
PositiveFloat = Annotated[FiniteFloat, Field(gt=0)]
DecayRate = Annotated[FiniteFloat, Field(ge=0, lt=1)]
WidthMultiplier = Annotated[
    FiniteFloat, AfterValidator(lambda v: _check_one_of(v, (1.0, 0.5, 0.25, 0.125)))
]
ScaleFactor = Annotated[FiniteFloat, Field(ge=0.01, le=2)]


class ConfigSection(BaseModel):
    """Base of all configuration sections: frozen, without unknown keys or non-finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_serializer(mode="wrap")
    def _dump(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit a convention or a variant that equals the official one."""
        fields = type(self).model_fields
        official = {
            name
            for name in ("convention", "variant")
            if name in fields and getattr(self, name) == fields[name].default
        }
        return {name: value for name, value in handler(self).items() if name not in official}


class MelConvention(ConfigSection):
    """Steps from samples to a mel; the sizes are in `MelConfig`.

    The mel is `gain * log(filterbank @ |STFT|^power) + offset`, limited to `clip`.
    """

    # True: frame i is centered on sample i * hop_length, and there is one more frame.
    # False: both ends are padded by (n_fft - hop_length) / 2 samples, as in the official code.
    center: bool = False
    pad_mode: Literal["reflect", "constant"] = "reflect"
    periodic_window: bool = True  # False: a symmetric window
    magnitude_epsilon: NonNegativeFloat = 1e-9  # added to re^2 + im^2
    power: Literal[1, 2] = 1
    mel_scale: Literal["slaney", "htk"] = "slaney"
    mel_norm: Literal["slaney", "none"] = "slaney"  # none: filters of equal height
    log: Literal["ln", "log10"] = "ln"
    floor: PositiveFloat = 1e-5
    floor_mode: Literal["clamp", "add"] = "clamp"  # log(max(x, floor)) or log(x + floor)
    gain: PositiveFloat = 1.0
    offset: FiniteFloat = 0.0
    clip: tuple[FiniteFloat, FiniteFloat] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.clip and not self.clip[0] < self.clip[1]:
            raise ValueError(f"clip must go from low to high, not {self.clip[0]} to {self.clip[1]}")
        return self


class GeneratorVariant(ConfigSection):
    """Differences of a generator from the official one; the sizes are in `GeneratorConfig`.

    `input_mean` and `input_scale` have one value per mel band, or none: the network reads
    (mel - mean) / scale.
    """

    slope: Annotated[FiniteFloat, Field(ge=0, lt=1)] = 0.1  # every leaky ReLU except the last
    conv_padding: Literal["zeros", "reflect"] = "zeros"
    input_mean: tuple[FiniteFloat, ...] = ()
    input_scale: tuple[PositiveFloat, ...] = ()
    # Copies of the first and last frame that are added before synthesis; their samples are cut.
    inference_padding: Annotated[int, Field(ge=0, le=1024, strict=True)] = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.input_mean) != len(self.input_scale):
            raise ValueError("input_mean and input_scale differ in length")
        return self
