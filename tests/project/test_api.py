"""Test the arrays and options of the Python interface."""

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
    """Load a tiny model with the public function."""
    path = write_tiny_model(tmp_path_factory.mktemp("model") / "m.safetensors")
    return load_model(path, "cpu", threads=1)


@pytest.fixture
def mel() -> Any:
    """Return a log-mel `(80, 40)` with levels like those of speech."""
    random = np.random.default_rng(0)
    return np.maximum(random.standard_normal((80, 40)) * 0.8 - 5, np.log(1e-5)).astype("f")


def test_mel_as_applies_to_arrays(model: Vocoder, mel: Any) -> None:
    """`mel_as` also converts mels that are not files."""
    expected = vocode(mel, model).samples
    decibels = mel * np.float32(20 / np.log(10))
    for scale in ("db", "auto"):
        generated = vocode(decibels, model, mel_as=scale).samples
        np.testing.assert_allclose(generated, expected, atol=1e-4)
    with pytest.raises(UsageError, match="bells"):
        vocode(mel, model, mel_as="bells")
    with pytest.raises(InputError, match="log10"):
        vocode(decibels, model, mel_as="log10")


def test_invalid_mels_are_rejected(model: Vocoder, mel: Any) -> None:
    """Arrays with values that are not finite, or without channels or frames, are errors."""
    mel[3, 5] = np.nan
    with pytest.raises(InputError):
        vocode(mel, model)
    with pytest.raises(InputError, match="80"):
        vocode(np.zeros((40, 0), np.float32), model)
    with pytest.raises(InputError, match="80"):
        vocode(np.zeros((0, 80, 5), np.float32), model)
    assert vocode(np.zeros((2, 80, 0), np.float32), model).samples.shape == (2, 0)


def test_samples_of_other_dimensions_are_rejected(tmp_path: Path) -> None:
    """The shape of samples is checked; passing `(samples,)` is a common mistake."""
    with pytest.raises(InputError, match=r"\(100,\).*\(channels, samples\)"):
        Audio(np.zeros(100, np.float32), 22_050)
    with pytest.raises(InputError, match=r"\(1, 2, 100\)"):
        write_audio(tmp_path / "a.wav", np.zeros((1, 2, 100), np.float32), 22_050)
    assert list(tmp_path.iterdir()) == []
