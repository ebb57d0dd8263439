"""What models of other tools do otherwise: described where it is unusual, and never trained."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from hifigan_cli.config import (
    Config,
    GeneratorConfig,
    MelConfig,
    MelConvention,
    Variant,
    VocoderConfig,
)

CENTERED = MelConvention(center=True, log="log10", floor=1e-10)


def test_the_usual_is_left_out_of_files() -> None:
    """Files from before these fields, and files of today, are the same bytes."""
    assert "convention" not in MelConfig().model_dump()
    assert "variant" not in GeneratorConfig().model_dump(mode="json")
    assert "convention" not in VocoderConfig().model_dump_json()
    unusual = MelConfig(convention=CENTERED)
    assert MelConfig.model_validate_json(unusual.model_dump_json()) == unusual
    assert unusual != MelConfig()


@pytest.mark.parametrize("center", [False, True])
def test_frames(center: bool) -> None:
    """A centred mel has a frame more, and longer ends."""
    mel = MelConfig(convention=MelConvention(center=center))
    assert mel.frames(2560) == mel.frames(2560 + 255) == (11 if center else 10)
    assert mel.pad_samples == (512 if center else 384)


def test_a_centred_mel_may_have_any_hop() -> None:
    """Half a window is added at each end, whatever the hop."""
    assert MelConfig(hop_length=275, convention=CENTERED).pad_samples == 512
    with pytest.raises(ValidationError, match="even"):
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
def test_impossible_conventions(values: dict[str, Any]) -> None:
    """What no mel can be is refused."""
    with pytest.raises(ValidationError):
        MelConvention(**values)


def test_statistics_have_a_value_a_band() -> None:
    """Mean and scale belong together, and to the mel's bands."""
    with pytest.raises(ValidationError, match="differ in length"):
        Variant(input_mean=(0.0,))
    with pytest.raises(ValidationError):
        Variant(input_mean=(0.0,), input_scale=(0.0,))
    variant = Variant(input_mean=(0.0,) * 79, input_scale=(1.0,) * 79)
    with pytest.raises(ValidationError, match="80 mels"):
        VocoderConfig(generator=GeneratorConfig(variant=variant))


@pytest.mark.parametrize(
    "config",
    [
        {"mel": MelConfig(convention=CENTERED)},
        {"generator": GeneratorConfig(variant=Variant(slope=0.2))},
    ],
)
def test_training_knows_the_official_ways_only(config: dict[str, Any]) -> None:
    """A run that would train on a mel whose loss nobody checked is refused."""
    with pytest.raises(ValidationError, match="training knows"):
        Config(**config)
    VocoderConfig(**config)  # but a model file may describe it


def test_what_fast_engines_run() -> None:
    """The network's own differences rule them out; what happens to the mel before it does not."""
    before = Variant(inference_padding=5, input_mean=(0.0,) * 80, input_scale=(1.0,) * 80)
    assert GeneratorConfig(variant=before).standard
    assert not GeneratorConfig(variant=Variant(slope=0.2)).standard
    assert not GeneratorConfig(variant=Variant(conv_padding="reflect")).standard
