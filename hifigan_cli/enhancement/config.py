"""The configuration of the enhancer: its architecture, its training and its data augmentation.

The paper has no such stage: a vocoder reproduces the noise that is in its mel. The enhancer maps
the noisy log-mel to a clean one in front of it.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from hifigan_cli.config.conventions import Fraction, Frozen, NotNegative, Positive, Real, Whole

# Constant. Log-mels of speech lie around the center, within a few spreads.
CENTER, SPREAD = -5.0, 2.5
OUT_CENTER = -6.0
FLOOR_QUANTILE = 0.1
GATES_OPEN = 0.5  # what the gates start from: a little towards the input
STEM_KERNEL = (5, 3)  # bands, frames

Probability = Annotated[Real, Field(ge=0, le=1)]
Odd = Annotated[int, Field(ge=1, le=255, multiple_of=1, strict=True)]
Dilations = Annotated[tuple[Positive, ...], Field(min_length=1)]


class EnhancerConfig(Frozen):
    """The network, `enhancement/network.py`."""

    channels: Positive = 192
    stem_channels: Positive = 16
    kernel: Odd = 7
    expansion: Positive = 2
    dilations: Dilations = (1, 1, 2, 2, 4, 4, 8, 8, 16, 1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel} must be odd, or the residual does not fit")
        return self

    @property
    def context_frames(self) -> int:
        """Frames to each side that a frame of the result depends on (the floor's apart)."""
        return 2 + (self.kernel // 2) * sum(self.dilations)


class EnhancerTraining(Frozen):
    """How it is trained: first on distances only, then against a patch discriminator as well."""

    seed: Whole = 1234
    pairs: Positive = 20_000  # noisy and clean, rendered once
    validation_pairs: Positive = 192
    pair_frames: Positive = 216
    segment_frames: Positive = 160
    batch_size: Positive = 16
    steps: Positive = 8_000
    adversarial_steps: Whole = 1_500  # the last of `steps`
    learning_rate: Annotated[Real, Field(gt=0)] = 2e-3
    adversarial_learning_rate: Annotated[Real, Field(gt=0)] = 3e-4
    discriminator_learning_rate: Annotated[Real, Field(gt=0)] = 4e-4
    difference_weight: NotNegative = 0.4
    ema_decay: Fraction = 0.99  # in the adversarial steps
    level_range: NotNegative = 1.2  # natural-log units by which a pair's level is moved
    log_every: Positive = 50
    validate_every: Positive = 500
    checkpoint_every: Positive = 500

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.segment_frames > self.pair_frames:
            raise ValueError("segment_frames is longer than pair_frames")
        if self.adversarial_steps > self.steps:
            raise ValueError("adversarial_steps are part of steps and cannot be more")
        return self


class AugmentationConfig(Frozen):
    """How often and how strongly clean speech is changed, `enhancement/augmentation`."""

    untouched: Probability = 0.06  # pairs that teach the network to leave clean speech as it is
    reverb: Probability = 0.65
    noise: Probability = 0.92
    second_noise: Probability = 0.4
    snr_db: tuple[Real, Real] = (-4.0, 26.0)
    band: Probability = 0.35
    codec: Probability = 0.12
    clipping: Probability = 0.06
    rate: tuple[Real, Real] = (0.7, 1.25)  # of the speech: other voices
    level_db: tuple[Real, Real] = (-36.0, -14.0)


class EnhancerRun(Frozen):
    """Everything that defines a training of the enhancer, except the mel convention."""

    enhancer: EnhancerConfig = EnhancerConfig()
    training: EnhancerTraining = EnhancerTraining()
    augmentation: AugmentationConfig = AugmentationConfig()
