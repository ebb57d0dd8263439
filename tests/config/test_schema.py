"""Invalid configurations are rejected, and the presets are those of the paper."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from hifigan_cli.config import PRESETS, Config, GeneratorConfig, MelConfig, TrainConfig, preset
from hifigan_cli.errors import UsageError


def test_training_defaults() -> None:
    """The defaults are those of the paper, or of the official code where the paper states none."""
    train = TrainConfig()
    assert (train.seed, train.steps, train.batch_size) == (1234, 2_500_000, 16)
    assert (train.segment_size, train.mel_weight, train.feature_weight) == (8192, 45, 2)
    assert (train.learning_rate, train.adam_betas, train.lr_decay) == (2e-4, (0.8, 0.99), 0.999)
    assert train.weight_decay == 0.01


def test_mel_defaults() -> None:
    """The defaults are the mel of the presets; the mel of the loss goes to Nyquist."""
    mel = MelConfig()
    sizes = (
        mel.sample_rate,
        mel.n_fft,
        mel.hop_length,
        mel.win_length,
        mel.n_mels,
        mel.padding_samples,
    )
    assert sizes == (22_050, 1024, 256, 1024, 80, 384)
    assert (mel.fmin, mel.fmax) == (0, 8000)
    assert mel.full_band().upper_edge_hz == 11_025
    assert mel.full_band().model_copy(update={"fmax": 8000.0}) == mel


@pytest.mark.parametrize(
    ("name", "channels", "rates", "kernels", "block", "sizes", "dilations"),
    [
        ("v1", 512, (8, 8, 2, 2), (16, 16, 4, 4), 1, (3, 7, 11), ((1, 3, 5),) * 3),
        ("v2", 128, (8, 8, 2, 2), (16, 16, 4, 4), 1, (3, 7, 11), ((1, 3, 5),) * 3),
        ("v3", 256, (8, 8, 4), (16, 16, 8), 2, (3, 5, 7), ((1, 2), (2, 6), (3, 12))),
    ],
)
def test_presets_are_table_5(
    name: str,
    channels: int,
    rates: tuple[int, ...],
    kernels: tuple[int, ...],
    block: int,
    sizes: tuple[int, ...],
    dilations: tuple[tuple[int, ...], ...],
) -> None:
    """V1, V2 and V3 have the numbers of the official configurations."""
    assert preset(name).generator == GeneratorConfig(
        upsample_initial_channel=channels,
        upsample_rates=rates,
        upsample_kernel_sizes=kernels,
        resblock=block,
        resblock_kernel_sizes=sizes,
        resblock_dilation_sizes=dilations,
    )
    assert math.prod(rates) == preset(name).mel.hop_length


def test_unknown_presets_suggest_the_nearest() -> None:
    """A mistyped preset is an error with a hint."""
    with pytest.raises(UsageError) as caught:
        preset("v11")
    assert caught.value.hint == "did you mean v1?"
    assert set(PRESETS) == {"v1", "v2", "v3"}


@pytest.mark.parametrize("sample_rate", [22_050, 48_000])
def test_fmax_null_equals_nyquist(sample_rate: int) -> None:
    """`fmax` null and Nyquist are the same mel, also when a run is resumed."""
    null = MelConfig.model_validate({"fmax": None, "sample_rate": sample_rate})
    number = MelConfig(sample_rate=sample_rate, fmax=sample_rate / 2)
    assert null == number == MelConfig(sample_rate=sample_rate).full_band()
    assert null.model_dump_json() == number.model_dump_json()


@pytest.mark.parametrize(
    "values",
    [
        {"hop_length": -256},
        {"hop_length": 0},
        {"hop_length": 255},  # (n_fft - hop_length) / 2 is not an integer
        {"hop_length": 2048},
        {"win_length": 2048},
        {"fmin": 8000.0},
        {"fmin": -1.0},
        {"fmax": 11_026.0},
        {"fmax": math.nan},
        {"fmax": math.inf},
        {"sample_rate": 1},
        {"sample_rate": 22_051},
        {"sample_rate": True},
        {"n_mels": 0},
        {"n_mels": 80.0},
        {"mels": 80},
    ],
)
def test_invalid_mels_are_rejected(values: dict[str, Any]) -> None:
    """Every mel value has a range (row 50)."""
    with pytest.raises(ValidationError):
        MelConfig(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"upsample_rates": ()},
        {"upsample_rates": (8, 8, 4)},
        {"upsample_rates": (8, 8, 2, -2)},
        {"upsample_kernel_sizes": (16, 16, 4, 3)},  # odd difference: wrong output length
        {"upsample_kernel_sizes": (16, 16, 4, 1)},  # smaller than the rate
        {"upsample_initial_channel": 100},
        {"resblock_kernel_sizes": (3, 7)},
        {"resblock_kernel_sizes": (3, 7, 10)},
        {"resblock_dilation_sizes": ((1, 3, 5), (1, 3, 5), (1, 3, 0))},
        {"resblock": 3},
        {"resblock": [1]},
    ],
)
def test_invalid_generators_are_rejected(values: dict[str, Any]) -> None:
    """Reject sizes that give a wrong output length or no network."""
    with pytest.raises(ValidationError):
        GeneratorConfig(**values)


def test_resblock_may_be_a_string() -> None:
    """Official configurations write the block type as a string."""
    assert GeneratorConfig.model_validate({"resblock": "2"}).resblock == 2


@pytest.mark.parametrize(
    "values",
    [
        {"learning_rate": True},  # lax mode would accept it as 1.0
        {"learning_rate": 0.0},
        {"adam_betas": (0.8,)},
        {"adam_betas": (0.8, 1.0)},
        {"lr_decay": 1.5},
        {"steps": 0},
        {"steps": True},
        {"seed": -1},
        {"seed": 2**63},  # beyond what TOML can hold
        {"batch_size": "many"},
        {"precision": "fp16"},
    ],
)
def test_invalid_training_values_are_rejected(values: dict[str, Any]) -> None:
    """Training values have types and ranges."""
    with pytest.raises(ValidationError):
        TrainConfig(**values)


def test_configurations_are_frozen() -> None:
    """A configuration cannot be changed in place: it is a key of caches."""
    with pytest.raises(ValidationError):
        setattr(MelConfig(), "n_mels", 40)  # noqa: B010 - as attribute, mypy would refuse it
    assert hash(MelConfig()) == hash(MelConfig())


@pytest.mark.parametrize("segment_size", [8191, 256])
def test_segment_size_fits_hop_length_and_padding(segment_size: int) -> None:
    """Reject segments that are not full frames, or too short for reflection padding."""
    with pytest.raises(ValidationError, match="segment_size"):
        Config(train=TrainConfig(segment_size=segment_size))
