"""The configuration: mel convention, generator architecture, training recipe.

Defaults are the paper's V1 for LJSpeech. Values that the paper leaves out are those of the official
training code. Every class is frozen and rejects unknown keys, wrong types and impossible sizes.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from hifigan_cli.config.conventions import (
    Fraction,
    Frozen,
    MelConvention,
    NotNegative,
    Positive,
    Ratio,
    Real,
    StrictlyPositive,
    Variant,
    Whole,
    Width,
)

# Training keys that a resumed run may change: the weights do not depend on them.
FREE_ON_RESUME = frozenset(
    {
        "steps",
        "accumulate",
        "compile",
        "cuda_graphs",
        "workers",
        "log_every",
        "validate_every",
        "checkpoint_every",
        "keep_checkpoints",
        "validation_clips",
        "sample_clips",
    }
)


class MelConfig(Frozen):
    """How a waveform becomes a log-mel. A model works only on the mel it was trained on.

    Lengths are in samples, frequencies in Hz. `fmax` None means the Nyquist frequency, and is
    kept as that number: one mel, one value, in files and in comparisons.
    """

    # Even, so that Nyquist is a whole number: torchaudio's filterbank rounds it down.
    sample_rate: Annotated[int, Field(ge=4_000, le=384_000, multiple_of=2, strict=True)] = 22_050
    n_fft: Annotated[int, Field(ge=16, le=65_536, strict=True)] = 1024
    hop_length: Positive = 256
    win_length: Positive = 1024
    n_mels: Annotated[int, Field(ge=1, le=1024, strict=True)] = 80
    fmin: NotNegative = 0.0
    fmax: Real | None = 8_000.0
    convention: MelConvention = MelConvention()  # of a model that another tool trained

    @field_validator("fmax", mode="before")
    @classmethod
    def _as_number(cls, value: object, info: ValidationInfo) -> object:
        sample_rate = info.data.get("sample_rate")  # absent where it is itself refused
        return sample_rate / 2 if value is None and sample_rate else value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.win_length > self.n_fft:
            raise ValueError(f"win_length {self.win_length} is longer than n_fft {self.n_fft}")
        odd = (self.n_fft - self.hop_length) % 2 and not self.convention.center
        if self.hop_length > self.n_fft or odd:
            raise ValueError("n_fft - hop_length must be even and not negative: half pads each end")
        if not self.fmin < self.top_hz <= self.sample_rate / 2:
            raise ValueError(
                f"need fmin < fmax <= {self.sample_rate / 2:g}, "
                f"got {self.fmin:g} and {self.top_hz:g}"
            )
        return self

    @property
    def top_hz(self) -> float:
        """The upper edge of the highest band, in Hz."""
        return self.sample_rate / 2 if self.fmax is None else self.fmax

    @property
    def pad_samples(self) -> int:
        """Samples added at each end, so that a clip has floor(samples / hop) frames."""
        return (self.n_fft if self.convention.center else self.n_fft - self.hop_length) // 2

    def frames(self, samples: int) -> int:
        """Count the frames of a clip: floor(samples / hop), unless the convention differs."""
        return samples // self.hop_length + self.convention.center

    def full_band(self) -> MelConfig:
        """Return the same mel up to Nyquist: what loss and validation compare."""
        return self.model_copy(update={"fmax": self.sample_rate / 2})


class GeneratorConfig(Frozen):
    """The generator's architecture (paper section 2.2, table 5), in the official names."""

    # Official files write it as a string.
    resblock: Annotated[
        Literal[1, 2], BeforeValidator(lambda v: int(v) if v in ("1", "2") else v)
    ] = 1
    upsample_rates: Annotated[tuple[Positive, ...], Field(min_length=1)] = (8, 8, 2, 2)
    upsample_kernel_sizes: tuple[Positive, ...] = (16, 16, 4, 4)
    upsample_initial_channel: Positive = 512
    resblock_kernel_sizes: Annotated[tuple[Positive, ...], Field(min_length=1)] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[Positive, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    variant: Variant = Variant()  # of a model that another tool trained

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.upsample_rates) != len(self.upsample_kernel_sizes):
            raise ValueError("upsample_rates and upsample_kernel_sizes differ in length")
        for rate, kernel in zip(self.upsample_rates, self.upsample_kernel_sizes, strict=True):
            if kernel < rate or (kernel - rate) % 2:
                raise ValueError(
                    f"upsample kernel {kernel} for rate {rate}: must be at least the rate and "
                    "differ from it by an even number, or the output has the wrong length"
                )
        if len(self.resblock_kernel_sizes) != len(self.resblock_dilation_sizes):
            raise ValueError("resblock_kernel_sizes and resblock_dilation_sizes differ in length")
        if any(kernel % 2 == 0 for kernel in self.resblock_kernel_sizes):
            raise ValueError("resblock_kernel_sizes must be odd, or the residual does not fit")
        if self.upsample_initial_channel % 2 ** len(self.upsample_rates):
            raise ValueError(
                f"upsample_initial_channel {self.upsample_initial_channel} must halve evenly "
                f"{len(self.upsample_rates)} times"
            )
        return self

    @property
    def hop_length(self) -> int:
        """Samples that the generator makes of one mel frame."""
        return math.prod(self.upsample_rates)

    @property
    def standard(self) -> bool:
        """Whether the network is the official one in all but its sizes, as fast engines expect.

        What happens to the mel before it (mean, scale, copies of its ends) is no matter of theirs.
        """
        return (self.variant.slope, self.variant.conv_padding) == (0.1, "zeros")


class TrainConfig(Frozen):
    """The training recipe (paper section 3.1 and the official training code)."""

    seed: Whole = 1234
    steps: Positive = 2_500_000
    batch_size: Positive = 16  # over all processes together
    segment_size: Positive = 8192
    learning_rate: StrictlyPositive = 2e-4
    adam_betas: tuple[Fraction, Fraction] = (0.8, 0.99)
    weight_decay: NotNegative = 0.01
    lr_decay: Annotated[Real, Field(gt=0, le=1)] = 0.999
    # 0: an epoch, but never less than the 809 batches of the paper's corpus, so that the learning
    # rate of a small corpus does not collapse.
    lr_decay_steps: Whole = 0
    # The next five are not the paper's: for training in hours rather than weeks.
    adversarial_start: Whole = 0  # steps before the discriminators join
    discriminator_width: Width = 1.0  # part of their channels
    stft_weight: NotNegative = 0.0  # of the spectra at three resolutions
    speed_range: tuple[Ratio, Ratio] = (1.0, 1.0)  # other voices: segments played at other rates
    peak_range: tuple[Ratio, Ratio] = (1.0, 1.0)  # of the peak
    mel_weight: NotNegative = 45.0
    feature_weight: NotNegative = 2.0
    precision: Literal["fp32", "bf16"] = "fp32"
    ema_decay: Fraction = 0.0  # 0: no average is kept
    deterministic: bool = False
    # Pieces that a process takes its share of the batch in; for memory, the gradients are the same
    # (but for a part of the spectral loss).
    accumulate: Positive = 1
    compile: bool = False  # torch.compile; V1 takes minutes to compile
    cuda_graphs: bool = True  # a step on a single GPU is one CUDA graph, unless `deterministic`
    overfit: Whole = 0  # train on this many fixed segments; 0: on the whole corpus
    workers: Whole = 2
    log_every: Positive = 10
    validate_every: Positive = 1000
    checkpoint_every: Positive = 1000
    keep_checkpoints: Positive = 3
    validation_clips: Positive = 150
    sample_clips: Whole = 3  # validation clips to hear and to see

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("speed_range", "peak_range"):
            lowest, highest = getattr(self, name)
            if lowest > highest:
                raise ValueError(f"{name} must go from low to high, not {lowest:g} to {highest:g}")
        return self

    @property
    def varied(self) -> bool:
        """Whether segments are changed on their way to the batch."""
        return (*self.speed_range, *self.peak_range) != (1.0, 1.0, 1.0, 1.0)


class VocoderConfig(Frozen):
    """What a vocoder is: the mel it reads, and the generator that reads it."""

    mel: MelConfig = MelConfig()
    generator: GeneratorConfig = GeneratorConfig()

    @model_validator(mode="after")
    def _check_hop(self) -> Self:
        if self.generator.hop_length != self.mel.hop_length:
            product = " x ".join(str(rate) for rate in self.generator.upsample_rates)
            raise ValueError(
                f"upsample_rates multiply to {self.generator.hop_length} ({product}), "
                f"but hop_length is {self.mel.hop_length}"
            )
        if len(self.generator.variant.input_mean) not in (0, self.mel.n_mels):
            raise ValueError(f"input_mean must have a value for each of {self.mel.n_mels} mels")
        return self


class Config(VocoderConfig):
    """Everything that a training run is made of."""

    train: TrainConfig = TrainConfig()

    @model_validator(mode="after")
    def _check_segment(self) -> Self:
        hop, segment = self.mel.hop_length, self.train.segment_size
        if segment % hop or segment <= self.mel.pad_samples:
            raise ValueError(
                f"segment_size {segment} must be a multiple of hop_length {hop} "
                f"and above {self.mel.pad_samples}"
            )
        return self

    @model_validator(mode="after")
    def _check_official(self) -> Self:
        if self.mel.convention != MelConvention() or self.generator.variant != Variant():
            raise ValueError("training knows the official mel convention and generator only")
        return self
