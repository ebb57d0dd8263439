"""The configuration: mel, generator architecture, training recipe.

Defaults are the paper's V1 for LJSpeech. Values that the paper omits are those of the official
training code. Every class is frozen and rejects unknown keys, wrong types and impossible sizes.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from hifigan_cli.config.conventions import (
    ConfigSection,
    DecayRate,
    FiniteFloat,
    GeneratorVariant,
    MelConvention,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ScaleFactor,
    WidthMultiplier,
)

# Training keys that may change when a run is resumed: the weights do not depend on them.
CHANGEABLE_ON_RESUME = frozenset(
    {
        "steps",
        "micro_batches",
        "compile",
        "cuda_graphs",
        "workers",
        "log_every",
        "validate_every",
        "checkpoint_every",
        "keep_checkpoints",
        "validation_clips",
        "logged_clips",
    }
)


class MelConfig(ConfigSection):
    """Parameters of the log-mel spectrogram. A model works only on the mel it was trained on.

    Lengths are in samples, frequencies in Hz. `fmax` None means the Nyquist frequency; it is stored
    as that number, so that equal mels compare equal.
    """

    # Even, so that Nyquist is an integer: torchaudio's filterbank rounds it down.
    sample_rate: Annotated[int, Field(ge=4_000, le=384_000, multiple_of=2, strict=True)] = 22_050
    n_fft: Annotated[int, Field(ge=16, le=65_536, strict=True)] = 1024
    hop_length: PositiveInt = 256
    win_length: PositiveInt = 1024
    n_mels: Annotated[int, Field(ge=1, le=1024, strict=True)] = 80
    fmin: NonNegativeFloat = 0.0
    fmax: FiniteFloat | None = 8_000.0
    convention: MelConvention = MelConvention()  # differs for imported models only

    @field_validator("fmax", mode="before")
    @classmethod
    def _as_number(cls, value: object, info: ValidationInfo) -> object:
        sample_rate = info.data.get("sample_rate")  # absent if it is invalid itself
        return sample_rate / 2 if value is None and sample_rate else value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.win_length > self.n_fft:
            raise ValueError(f"win_length {self.win_length} is longer than n_fft {self.n_fft}")
        odd = (self.n_fft - self.hop_length) % 2 and not self.convention.center
        if self.hop_length > self.n_fft or odd:
            raise ValueError(
                "n_fft - hop_length must be even and at least 0, to pad each end by half"
            )
        if not self.fmin < self.upper_edge_hz <= self.sample_rate / 2:
            raise ValueError(
                f"fmin < fmax <= {self.sample_rate / 2:g} is required, "
                f"got fmin {self.fmin:g} and fmax {self.upper_edge_hz:g}"
            )
        return self

    @property
    def upper_edge_hz(self) -> float:
        """The upper edge of the highest band, in Hz."""
        return self.sample_rate / 2 if self.fmax is None else self.fmax

    @property
    def padding_samples(self) -> int:
        """Samples of padding at each end, so that a clip has floor(samples / hop_length) frames."""
        return (self.n_fft if self.convention.center else self.n_fft - self.hop_length) // 2

    def frames(self, samples: int) -> int:
        """Return the frames of a clip: floor(samples / hop_length), one more if centered."""
        return samples // self.hop_length + self.convention.center

    def full_band(self) -> MelConfig:
        """Return the same mel up to Nyquist, which the mel loss and validation compare."""
        return self.model_copy(update={"fmax": self.sample_rate / 2})


class GeneratorConfig(ConfigSection):
    """The generator's architecture (paper section 2.2, table 5), in the official names."""

    # The official files write it as a string.
    resblock: Annotated[
        Literal[1, 2], BeforeValidator(lambda v: int(v) if v in ("1", "2") else v)
    ] = 1
    upsample_rates: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (8, 8, 2, 2)
    upsample_kernel_sizes: tuple[PositiveInt, ...] = (16, 16, 4, 4)
    upsample_initial_channel: PositiveInt = 512
    resblock_kernel_sizes: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[PositiveInt, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    variant: GeneratorVariant = GeneratorVariant()  # differs for imported models only

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.upsample_rates) != len(self.upsample_kernel_sizes):
            raise ValueError("upsample_rates and upsample_kernel_sizes differ in length")
        for rate, kernel in zip(self.upsample_rates, self.upsample_kernel_sizes, strict=True):
            if kernel < rate or (kernel - rate) % 2:
                raise ValueError(
                    f"upsample_kernel_sizes: {kernel} does not fit rate {rate}; "
                    "kernel - rate must be even and at least 0"
                )
        if len(self.resblock_kernel_sizes) != len(self.resblock_dilation_sizes):
            raise ValueError("resblock_kernel_sizes and resblock_dilation_sizes differ in length")
        if any(kernel % 2 == 0 for kernel in self.resblock_kernel_sizes):
            raise ValueError("resblock_kernel_sizes must be odd, to keep the length")
        if self.upsample_initial_channel % 2 ** len(self.upsample_rates):
            raise ValueError(
                f"upsample_initial_channel {self.upsample_initial_channel} must be divisible by 2 "
                f"{len(self.upsample_rates)} times"
            )
        return self

    @property
    def hop_length(self) -> int:
        """Samples that the generator outputs per mel frame."""
        return math.prod(self.upsample_rates)

    @property
    def is_official(self) -> bool:
        """Whether the network is the official one except for its sizes, as fast engines expect.

        Normalization and padding of the input mel happen before the network and do not matter.
        """
        return (self.variant.slope, self.variant.conv_padding) == (0.1, "zeros")


class TrainConfig(ConfigSection):
    """The training recipe (paper section 3 and the official training code)."""

    seed: NonNegativeInt = 1234
    steps: PositiveInt = 2_500_000
    batch_size: PositiveInt = 16  # the sum over all processes
    segment_size: PositiveInt = 8192
    learning_rate: PositiveFloat = 2e-4
    adam_betas: tuple[DecayRate, DecayRate] = (0.8, 0.99)
    weight_decay: NonNegativeFloat = 0.01
    lr_decay: Annotated[FiniteFloat, Field(gt=0, le=1)] = 0.999
    # 0: one epoch, but at least the 809 batches of the paper's corpus, so that the learning rate
    # does not collapse on a small corpus.
    lr_decay_steps: NonNegativeInt = 0
    # The next five are not in the paper; they are for training in hours rather than weeks.
    adversarial_start: NonNegativeInt = 0  # the first step with discriminators
    discriminator_width: WidthMultiplier = 1.0  # multiplies their channels
    stft_weight: NonNegativeFloat = 0.0  # weight of the multi-resolution STFT loss
    # Playback speed (which changes the pitch) and peak level of segments.
    speed_range: tuple[ScaleFactor, ScaleFactor] = (1.0, 1.0)
    gain_range: tuple[ScaleFactor, ScaleFactor] = (1.0, 1.0)
    mel_weight: NonNegativeFloat = 45.0
    feature_weight: NonNegativeFloat = 2.0
    precision: Literal["fp32", "bf16"] = "fp32"
    ema_decay: DecayRate = 0.0  # 0: no EMA of the weights
    deterministic: bool = False
    # Gradient accumulation: the number of micro-batches per step. It saves memory; the gradients
    # are the same, except for spectral convergence in the STFT loss.
    micro_batches: PositiveInt = 1
    compile: bool = False  # torch.compile; V1 takes minutes
    cuda_graphs: bool = True  # on a single GPU, unless `deterministic`
    overfit: NonNegativeInt = 0  # train on this many fixed segments; 0: on the full corpus
    workers: NonNegativeInt = 2
    log_every: PositiveInt = 10
    validate_every: PositiveInt = 1000
    checkpoint_every: PositiveInt = 1000
    keep_checkpoints: PositiveInt = 3
    validation_clips: PositiveInt = 150
    logged_clips: NonNegativeInt = 3  # validation clips with audio and spectrograms

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("speed_range", "gain_range"):
            lowest, highest = getattr(self, name)
            if lowest > highest:
                raise ValueError(f"{name} must be [low, high], got [{lowest:g}, {highest:g}]")
        return self

    @property
    def augmented(self) -> bool:
        """Whether speed or level of the segments is changed."""
        return (*self.speed_range, *self.gain_range) != (1.0, 1.0, 1.0, 1.0)


class VocoderConfig(ConfigSection):
    """The architecture of a vocoder: its mel and its generator."""

    mel: MelConfig = MelConfig()
    generator: GeneratorConfig = GeneratorConfig()

    @model_validator(mode="after")
    def _check_hop(self) -> Self:
        if self.generator.hop_length != self.mel.hop_length:
            product = " x ".join(str(rate) for rate in self.generator.upsample_rates)
            raise ValueError(
                f"the product of upsample_rates is {self.generator.hop_length} ({product}), "
                f"but hop_length is {self.mel.hop_length}"
            )
        if len(self.generator.variant.input_mean) not in (0, self.mel.n_mels):
            raise ValueError(f"input_mean must have one value per mel band ({self.mel.n_mels})")
        return self


class Config(VocoderConfig):
    """The configuration of a training run."""

    train: TrainConfig = TrainConfig()

    @model_validator(mode="after")
    def _check_segment(self) -> Self:
        hop, segment = self.mel.hop_length, self.train.segment_size
        if segment % hop or segment <= self.mel.padding_samples:
            raise ValueError(
                f"segment_size {segment} must be a multiple of hop_length {hop} "
                f"and larger than {self.mel.padding_samples}"
            )
        return self

    @model_validator(mode="after")
    def _check_official(self) -> Self:
        if self.mel.convention != MelConvention() or self.generator.variant != GeneratorVariant():
            raise ValueError("training supports only the official mel and generator variant")
        return self
