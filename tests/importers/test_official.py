"""Official checkpoints are imported whole, or refused with the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hifigan_cli.errors import ModelError
from hifigan_cli.importers.families.official import describe
from hifigan_cli.importers.importing import import_checkpoint
from hifigan_cli.io.tensor_file import tensors_of
from hifigan_cli.models import MultiPeriodDiscriminator, MultiScaleDiscriminator
from tests.models_for_tests import TINY, tiny_generator

pytestmark = pytest.mark.usefixtures("in_process")

CONFIG: dict[str, Any] = {
    "resblock": "1",
    "upsample_rates": [16, 16],
    "upsample_kernel_sizes": [32, 32],
    "upsample_initial_channel": 16,
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3]],
    "batch_size": 16,
    "num_mels": 80,
    "n_fft": 1024,
    "hop_size": 256,
    "win_size": 1024,
    "sampling_rate": 22050,
    "fmin": 0,
    "fmax": 8000,
    "fmax_for_loss": None,
}


def old_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Name weight norm's parts as torch did before parametrizations."""
    renames = {
        ".parametrizations.weight.original0": ".weight_g",
        ".parametrizations.weight.original1": ".weight_v",
        ".parametrizations.weight.original": ".weight_orig",
        ".parametrizations.weight.0._u": ".weight_u",
        ".parametrizations.weight.0._v": ".weight_v",
    }
    renamed = {}
    for key, value in state.items():
        end = next((new for new in renames if key.endswith(new)), None)
        renamed[key.removesuffix(end) + renames[end] if end else key] = value
    return renamed


def write_official(folder: Path, prefix: str = "", **changes: Any) -> Path:
    state = {prefix + k: v for k, v in old_names(tiny_generator(3).state_dict()).items()}
    torch.save({"generator": state}, folder / "g_00000001")
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}))
    return folder / "g_00000001"


@pytest.mark.parametrize("prefix", ["", "module."])
def test_import_keeps_the_function(tmp_path: Path, prefix: str) -> None:
    """The folded model makes the samples of the network that was saved, DataParallel or not."""
    found = import_checkpoint(write_official(tmp_path, prefix))
    model, error = found.model, found.folding_error
    assert found.family == "official"
    mel = torch.randn(2, 80, 30)
    with torch.no_grad():
        assert torch.allclose(model.build()(mel), tiny_generator(3)(mel), atol=1e-6)
    assert error < 1e-6
    assert model.generator == TINY
    assert not any("weight_g" in key or "original" in key for key in model.weights)


def test_new_names_and_folded_weights(tmp_path: Path) -> None:
    """Checkpoints with torch's new names, and with plain weights, are read too."""
    expected = import_checkpoint(write_official(tmp_path)).model
    for state in (tiny_generator(3).state_dict(), tensors_of(expected.weights)):
        torch.save({"generator": dict(state)}, tmp_path / "g_00000001")
        model = import_checkpoint(tmp_path / "g_00000001").model
        for key, value in expected.weights.items():
            np.testing.assert_allclose(model.weights[key], value, rtol=1.3e-6, atol=1e-5)


def test_discriminators_come_along(tmp_path: Path) -> None:
    """do_XXXXXXXX, spectral norm and all, becomes states that our discriminators load."""
    torch.manual_seed(1)
    nets = {"mpd": MultiPeriodDiscriminator(), "msd": MultiScaleDiscriminator()}
    states = {name: old_names(net.state_dict()) for name, net in nets.items()}
    torch.save({**states, "steps": 5, "epoch": 1}, tmp_path / "do_00000001")
    model = import_checkpoint(
        write_official(tmp_path), discriminators=tmp_path / "do_00000001"
    ).model
    found = model.discriminators
    expected = {f"{n}.{key}": v for n, net in nets.items() for key, v in net.state_dict().items()}
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"upsample_initial_channel": 32}, "shape"),
        ({"resblock": "2"}, "lacks it|does not"),
        (
            {"resblock_kernel_sizes": [3, 7], "resblock_dilation_sizes": [[1, 3], [1, 3]]},
            "resblocks",
        ),
        ({"upsample_rates": [8, 16]}, "multiply to 128"),
        ({"num_mels": 100}, "conv_pre"),
        ({"resblock": "3"}, "does not describe a generator"),
    ],
)
def test_config_that_does_not_fit(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """Checkpoint and config that disagree are refused, and the first difference is named."""
    with pytest.raises(ModelError, match=message):
        import_checkpoint(write_official(tmp_path, **changes))


def test_config_is_needed(tmp_path: Path) -> None:
    """Without a config the error says how to name one; with a cut one, what is wrong."""
    checkpoint = write_official(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="does not describe"):
        import_checkpoint(checkpoint)
    (tmp_path / "config.json").unlink()
    with pytest.raises(ModelError) as caught:
        import_checkpoint(checkpoint)
    assert "--config" in (caught.value.hint or "")


def test_missing_fields_are_named() -> None:
    """A config of something else names what it does not give."""
    with pytest.raises(ModelError, match="resblock_kernel_sizes"):
        describe({}, "c.json")
    generator_only = {key: CONFIG[key] for key in list(CONFIG)[:6]}
    with pytest.raises(ModelError, match=r"c.json does not give sampling_rate.*fmax"):
        describe(generator_only, "c.json")


def test_a_checkpoint_without_a_generator(tmp_path: Path) -> None:
    """Other content of the right container is a model error too."""
    checkpoint = write_official(tmp_path)
    for content in ({"generator": 3}, [1, 2], {"generator": {"a": torch.zeros(1)}}):
        torch.save(content, checkpoint)
        with pytest.raises(ModelError):
            import_checkpoint(checkpoint)


@pytest.mark.parametrize("name", ["generator_ema", "gen_ema"])
def test_averaged_weights_are_taken_on_request(tmp_path: Path, name: str) -> None:
    """An average beside the generator is another model, and only with `average` the one."""
    checkpoint = write_official(tmp_path)
    content = torch.load(checkpoint, weights_only=True)
    with pytest.raises(ModelError, match="no averaged weights"):
        import_checkpoint(checkpoint, average=True)
    torch.save({**content, name: old_names(tiny_generator(4).state_dict())}, checkpoint)
    mel = torch.randn(1, 80, 20)
    for average, seed in ((False, 3), (True, 4)):
        net = import_checkpoint(checkpoint, average=average).model.build()
        with torch.no_grad():
            assert torch.allclose(net(mel), tiny_generator(seed)(mel), atol=1e-6)
