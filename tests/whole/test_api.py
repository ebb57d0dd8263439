"""The Python interface: which arrays it takes, and which it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hifigan_cli import Audio, Vocoder, load_model, vocode, write_audio
from hifigan_cli.errors import InputError, UsageError
from tests.models_for_tests import write_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Vocoder:
    """Load a tiny model, as a user does."""
    path = write_tiny_model(tmp_path_factory.mktemp("model") / "m.safetensors")
    return load_model(path, "cpu", threads=1)


@pytest.fixture
def mel() -> Any:
    """Return a log-mel of about the levels of speech, `(80, 40)`."""
    random = np.random.default_rng(0)
    return np.maximum(random.standard_normal((80, 40)) * 0.8 - 5, np.log(1e-5)).astype("f")


def test_the_scale_of_an_array_is_heard(model: Vocoder, mel: Any) -> None:
    """Guard `mel_as`, which once did nothing where the mel was no file."""
    expected = vocode(mel, model).samples
    decibels = mel * np.float32(20 / np.log(10))
    for taken_as in ("db", "auto"):
        made = vocode(decibels, model, mel_as=taken_as).samples
        np.testing.assert_allclose(made, expected, atol=1e-4)
    with pytest.raises(UsageError, match="unknown scale"):
        vocode(mel, model, mel_as="bells")
    with pytest.raises(InputError, match="not log10"):
        vocode(decibels, model, mel_as="log10")


def test_what_is_no_mel_is_refused(model: Vocoder, mel: Any) -> None:
    """Guard arrays with values that are not numbers, and without channels or frames."""
    mel[3, 5] = np.nan
    with pytest.raises(InputError, match="not numbers"):
        vocode(mel, model)
    with pytest.raises(InputError, match="80 mels"):
        vocode(np.zeros((40, 0), np.float32), model)
    with pytest.raises(InputError, match="80 mels"):
        vocode(np.zeros((0, 80, 5), np.float32), model)
    assert vocode(np.zeros((2, 80, 0), np.float32), model).samples.shape == (2, 0)


def test_samples_of_other_dimensions_are_refused(tmp_path: Path) -> None:
    """Guard sound that is handed in: one mistake of every newcomer."""
    with pytest.raises(InputError, match=r"\(100,\) are not \(channels, samples\)"):
        Audio(np.zeros(100, np.float32), 22_050)
    with pytest.raises(InputError, match=r"\(1, 2, 100\) are not"):
        write_audio(tmp_path / "a.wav", np.zeros((1, 2, 100), np.float32), 22_050)
    assert list(tmp_path.iterdir()) == []
