"""Configuration of the enhancer: its architecture, its training and its data augmentation.

A vocoder reproduces the noise in its mel. The enhancer runs before it and maps a noisy log-mel to a
clean one. The paper has no such stage.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from hifigan_cli.config.conventions import (
    ConfigSection,
    DecayRate,
    FiniteFloat,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
)

# Fixed values that normalize log-mels of speech.
MEL_MEAN, MEL_STD = -5.0, 2.5
OUTPUT_MEAN = -6.0
FLOOR_QUANTILE = 0.1
GATE_BIAS = 0.5  # added to the gates, which therefore start slightly towards the input
STEM_KERNEL = (5, 3)  # bands, frames

Probability = Annotated[FiniteFloat, Field(ge=0, le=1)]
KernelSize = Annotated[int, Field(ge=1, le=255, strict=True)]
Dilations = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]


class EnhancerConfig(ConfigSection):
    """Architecture of the network in `enhancement/network.py`."""

    channels: PositiveInt = 192
    stem_channels: PositiveInt = 16
    kernel: KernelSize = 7
    expansion: PositiveInt = 2
    dilations: Dilations = (1, 1, 2, 2, 4, 4, 8, 8, 16, 1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel is {self.kernel} but must be odd, for the residual to fit")
        return self

    @property
    def context_frames(self) -> int:
        """How many frames on each side an output frame depends on, apart from the noise floor."""
        return 2 + (self.kernel // 2) * sum(self.dilations)


class EnhancerTraining(ConfigSection):
    """Training of the enhancer: first on distances only, then also with a patch discriminator."""

    seed: NonNegativeInt = 1234
    pairs: PositiveInt = 20_000  # rendered once, noisy and clean
    validation_pairs: PositiveInt = 192
    pair_frames: PositiveInt = 216
    segment_frames: PositiveInt = 160
    batch_size: PositiveInt = 16
    steps: PositiveInt = 8_000
    adversarial_steps: NonNegativeInt = 1_500  # at the end of `steps`
    learning_rate: Annotated[FiniteFloat, Field(gt=0)] = 2e-3
    adversarial_learning_rate: Annotated[FiniteFloat, Field(gt=0)] = 3e-4
    discriminator_learning_rate: Annotated[FiniteFloat, Field(gt=0)] = 4e-4
    delta_weight: NonNegativeFloat = 0.4
    ema_decay: DecayRate = 0.99  # only in the adversarial steps
    max_log_gain: NonNegativeFloat = 1.2  # maximum change of level, in natural-log units
    log_every: PositiveInt = 50
    validate_every: PositiveInt = 500
    checkpoint_every: PositiveInt = 500

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.segment_frames > self.pair_frames:
            raise ValueError("segment_frames cannot be larger than pair_frames")
        if self.adversarial_steps > self.steps:
            raise ValueError("adversarial_steps are part of steps and cannot be larger")
        return self


class AugmentationConfig(ConfigSection):
    """Probabilities and ranges of the effects in `enhancement/augmentation`."""

    # Clean pairs teach the network not to change clean speech.
    clean_probability: Probability = 0.06
    reverb_probability: Probability = 0.65
    noise_probability: Probability = 0.92
    second_noise_probability: Probability = 0.4
    snr_db: tuple[FiniteFloat, FiniteFloat] = (-4.0, 26.0)
    band_limit_probability: Probability = 0.35
    codec_probability: Probability = 0.12
    clipping_probability: Probability = 0.06
    # Playback speed of the speech, to simulate other voices.
    speed_range: tuple[FiniteFloat, FiniteFloat] = (0.7, 1.25)
    level_db: tuple[FiniteFloat, FiniteFloat] = (-36.0, -14.0)


class EnhancerRunConfig(ConfigSection):
    """Everything that defines a training run of the enhancer, except the mel convention."""

    enhancer: EnhancerConfig = EnhancerConfig()
    training: EnhancerTraining = EnhancerTraining()
    augmentation: AugmentationConfig = AugmentationConfig()
