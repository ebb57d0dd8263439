"""Mel conventions and generator variants of imported models."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from hifigan_cli.config import (
    Config,
    GeneratorConfig,
    GeneratorVariant,
    MelConfig,
    MelConvention,
    VocoderConfig,
)

CENTERED = MelConvention(center=True, log="log10", floor=1e-10)


def test_defaults_are_omitted_from_files() -> None:
    """A default convention or variant does not appear in files."""
    assert "convention" not in MelConfig().model_dump()
    assert "variant" not in GeneratorConfig().model_dump(mode="json")
    assert "convention" not in VocoderConfig().model_dump_json()
    unusual = MelConfig(convention=CENTERED)
    assert MelConfig.model_validate_json(unusual.model_dump_json()) == unusual
    assert unusual != MelConfig()


@pytest.mark.parametrize("center", [False, True])
def test_frames(center: bool) -> None:
    """A centered mel has one more frame and more padding."""
    mel = MelConfig(convention=MelConvention(center=center))
    assert mel.frames(2560) == mel.frames(2560 + 255) == (11 if center else 10)
    assert mel.padding_samples == (512 if center else 384)


def test_centered_mels_accept_odd_hop_lengths() -> None:
    """A centered mel is padded by n_fft / 2 at each end for any hop length."""
    assert MelConfig(hop_length=275, convention=CENTERED).padding_samples == 512
    with pytest.raises(ValidationError, match="hop_length"):
        MelConfig(hop_length=275)


@pytest.mark.parametrize(
    "values",
    [
        {"floor": 0.0},
        {"gain": -1.0},
        {"clip": (1.0, -1.0)},
        {"power": 3},
        {"log": "dB"},
        {"unknown": 1},
    ],
)
def test_invalid_conventions_are_rejected(values: dict[str, Any]) -> None:
    """Values outside their range and unknown keys."""
    with pytest.raises(ValidationError):
        MelConvention(**values)


def test_input_statistics_have_one_value_per_band() -> None:
    """Mean and scale have the same length, the number of mel bands."""
    with pytest.raises(ValidationError, match="input_scale"):
        GeneratorVariant(input_mean=(0.0,))
    with pytest.raises(ValidationError):
        GeneratorVariant(input_mean=(0.0,), input_scale=(0.0,))
    variant = GeneratorVariant(input_mean=(0.0,) * 79, input_scale=(1.0,) * 79)
    with pytest.raises(ValidationError, match="80"):
        VocoderConfig(generator=GeneratorConfig(variant=variant))


@pytest.mark.parametrize(
    "config",
    [
        {"mel": MelConfig(convention=CENTERED)},
        {"generator": GeneratorConfig(variant=GeneratorVariant(slope=0.2))},
    ],
)
def test_training_requires_the_official_mel_and_generator(config: dict[str, Any]) -> None:
    """Training rejects other conventions and variants."""
    with pytest.raises(ValidationError, match="training"):
        Config(**config)
    VocoderConfig(**config)  # valid in a model file


def test_variants_that_fast_engines_support() -> None:
    """Fast engines support any input normalization, but not another network."""
    before = GeneratorVariant(inference_padding=5, input_mean=(0.0,) * 80, input_scale=(1.0,) * 80)
    assert GeneratorConfig(variant=before).is_official
    assert not GeneratorConfig(variant=GeneratorVariant(slope=0.2)).is_official
    assert not GeneratorConfig(variant=GeneratorVariant(conv_padding="reflect")).is_official
