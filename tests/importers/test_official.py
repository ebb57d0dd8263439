"""Official checkpoints are imported completely, or rejected with the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hifigan_cli.errors import ModelError
from hifigan_cli.importers.families.official import parse_config
from hifigan_cli.importers.importing import import_checkpoint
from hifigan_cli.io.tensor_file import tensors_of
from hifigan_cli.models import MultiPeriodDiscriminator, MultiScaleDiscriminator
from tests.config.official import OFFICIAL_CONFIG
from tests.models_for_tests import TINY, tiny_generator

pytestmark = pytest.mark.usefixtures("in_process")

GENERATOR: dict[str, Any] = {
    "resblock": "1",
    "upsample_rates": [16, 16],
    "upsample_kernel_sizes": [32, 32],
    "upsample_initial_channel": 16,
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3]],
}


def old_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the parameters of weight norm as in torch before parametrizations."""
    renames = {
        ".parametrizations.weight.original0": ".weight_g",
        ".parametrizations.weight.original1": ".weight_v",
        ".parametrizations.weight.original": ".weight_orig",
        ".parametrizations.weight.0._u": ".weight_u",
        ".parametrizations.weight.0._v": ".weight_v",
    }
    renamed = {}
    for key, value in state.items():
        suffix = next((new for new in renames if key.endswith(new)), None)
        renamed[key.removesuffix(suffix) + renames[suffix] if suffix else key] = value
    return renamed


def write_official(folder: Path, prefix: str = "", **changes: Any) -> Path:
    state = {prefix + k: v for k, v in old_names(tiny_generator(3).state_dict()).items()}
    torch.save({"generator": state}, folder / "g_00000001")
    (folder / "config.json").write_text(json.dumps(OFFICIAL_CONFIG | GENERATOR | changes))
    return folder / "g_00000001"


@pytest.mark.parametrize("prefix", ["", "module."])
def test_imported_model_gives_the_same_samples(tmp_path: Path, prefix: str) -> None:
    """The folded model equals the saved network, with and without DataParallel names."""
    result = import_checkpoint(write_official(tmp_path, prefix))
    model, error = result.model, result.folding_error
    assert result.family == "official"
    mel = torch.randn(2, 80, 30)
    with torch.no_grad():
        assert torch.allclose(model.build()(mel), tiny_generator(3)(mel), atol=1e-6)
    assert error < 1e-6
    assert model.generator == TINY
    assert not any("weight_g" in key or "original" in key for key in model.weights)


def test_new_names_and_folded_weights(tmp_path: Path) -> None:
    """Checkpoints with torch's new names or without weight norm are read too."""
    expected = import_checkpoint(write_official(tmp_path)).model
    for state in (tiny_generator(3).state_dict(), tensors_of(expected.weights)):
        torch.save({"generator": dict(state)}, tmp_path / "g_00000001")
        model = import_checkpoint(tmp_path / "g_00000001").model
        for key, value in expected.weights.items():
            np.testing.assert_allclose(model.weights[key], value, rtol=1.3e-6, atol=1e-5)


def test_discriminators_are_imported(tmp_path: Path) -> None:
    """do_XXXXXXXX, including spectral norm, becomes state dicts of our discriminators."""
    torch.manual_seed(1)
    nets = {"mpd": MultiPeriodDiscriminator(), "msd": MultiScaleDiscriminator()}
    states = {name: old_names(net.state_dict()) for name, net in nets.items()}
    torch.save({**states, "steps": 5, "epoch": 1}, tmp_path / "do_00000001")
    model = import_checkpoint(
        write_official(tmp_path), discriminators=tmp_path / "do_00000001"
    ).model
    imported = model.discriminators
    expected = {f"{n}.{key}": v for n, net in nets.items() for key, v in net.state_dict().items()}
    assert imported.keys() == expected.keys()
    assert all(np.array_equal(imported[key], expected[key]) for key in expected)


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"upsample_initial_channel": 32}, r"conv_post.*8, 7.*4, 7"),
        ({"resblock": "2"}, "resblocks"),
        (
            {"resblock_kernel_sizes": [3, 7], "resblock_dilation_sizes": [[1, 3], [1, 3]]},
            "resblocks",
        ),
        ({"upsample_rates": [8, 16]}, "128"),
        ({"num_mels": 100}, "conv_pre"),
        ({"resblock": "3"}, r"config\.json.*resblock"),
    ],
)
def test_config_that_does_not_fit(tmp_path: Path, changes: dict[str, Any], fact: str) -> None:
    """A config that does not fit the weights is an error that names the first difference."""
    with pytest.raises(ModelError, match=fact):
        import_checkpoint(write_official(tmp_path, **changes))


def test_missing_or_truncated_config(tmp_path: Path) -> None:
    """The hint for a missing config names `--config`."""
    checkpoint = write_official(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json"):
        import_checkpoint(checkpoint)
    (tmp_path / "config.json").unlink()
    with pytest.raises(ModelError) as caught:
        import_checkpoint(checkpoint)
    assert "--config" in (caught.value.hint or "")


def test_missing_fields_are_named() -> None:
    """The error names the keys that a config lacks."""
    with pytest.raises(ModelError, match="resblock_kernel_sizes"):
        parse_config({}, "c.json")
    with pytest.raises(ModelError, match=r"c\.json.*sampling_rate.*fmax"):
        parse_config(GENERATOR, "c.json")


def test_checkpoint_without_generator(tmp_path: Path) -> None:
    """Other content of a valid PyTorch file is a ModelError."""
    checkpoint = write_official(tmp_path)
    for content in ({"generator": 3}, [1, 2], {"generator": {"a": torch.zeros(1)}}):
        torch.save(content, checkpoint)
        with pytest.raises(ModelError):
            import_checkpoint(checkpoint)


@pytest.mark.parametrize("name", ["generator_ema", "gen_ema"])
def test_averaged_weights(tmp_path: Path, name: str) -> None:
    """Averaged weights are imported only with `ema`."""
    checkpoint = write_official(tmp_path)
    content = torch.load(checkpoint, weights_only=True)
    with pytest.raises(ModelError, match="g_00000001") as caught:
        import_checkpoint(checkpoint, ema=True)
    assert name in (caught.value.hint or "")
    torch.save({**content, name: old_names(tiny_generator(4).state_dict())}, checkpoint)
    mel = torch.randn(1, 80, 20)
    for ema, seed in ((False, 3), (True, 4)):
        net = import_checkpoint(checkpoint, ema=ema).model.build()
        with torch.no_grad():
            assert torch.allclose(net(mel), tiny_generator(seed)(mel), atol=1e-6)
