"""What is handed to a model: the mel that it reads, or a refusal that says what would be one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from hifigan_cli.audio import mel_spectrogram
from hifigan_cli.audio.conventions import SCALES
from hifigan_cli.config import MelConfig
from hifigan_cli.errors import InputError, UsageError
from hifigan_cli.synthesis.input_mel import MEL_AS, InputMel, open_mel
from hifigan_cli.types import FloatArray
from tests.helpers import speech

OURS = MelConfig()


@pytest.fixture
def mel() -> FloatArray:
    """Return the log-mel of something like speech that falls silent, `(mels, frames)`."""
    samples = np.concatenate([speech(1.5), np.zeros(22_050, np.float32)])
    return np.asarray(mel_spectrogram(torch.from_numpy(samples)[None])[0].numpy())


def opened(
    folder: Path, array: npt.NDArray[np.floating], *, mel: MelConfig = OURS, **how: object
) -> InputMel:
    """Write an array and take it."""
    np.save(folder / "m.npy", array)
    return open_mel(folder / "m.npy", mel, **how)  # type: ignore[arg-type]


def log10(mel: FloatArray) -> FloatArray:
    """Return the same mel in log10."""
    return mel / np.float32(np.log(10))


def test_our_own_passes_untouched(tmp_path: Path, mel: FloatArray) -> None:
    """Protects what is right: the same bits, no note, no doubt."""
    for how in ({}, {"mel_as": "ln"}, {"mel_as": "auto"}, {"check": False}):
        found = opened(tmp_path, mel, **how)
        assert (found.notes, found.doubts) == ((), ()), how
        np.testing.assert_array_equal(found.converted(), mel)
        together = np.concatenate([block[0] for block in found.blocks()], axis=1)
        np.testing.assert_array_equal(together, mel)
    assert found.length_s == mel.shape[1] * 256 / 22_050


@pytest.mark.parametrize("kind", ["log10", "db", "log2", "magnitude"])
@pytest.mark.parametrize("said", [True, False])
def test_others_are_refused_or_converted(
    tmp_path: Path, mel: FloatArray, kind: str, said: bool
) -> None:
    """Protects the way out: what the refusal names gives the right mel, and so does auto."""
    others = {
        "log10": log10(mel),
        "db": 20 * log10(mel),
        "log2": mel / np.float32(np.log(2)),
        "magnitude": np.exp(mel),
    }
    with pytest.raises(InputError, match="looks like") as caught:
        opened(tmp_path, others[kind])
    assert f"--mel-as {kind} converts it" in (caught.value.hint or "")
    found = opened(tmp_path, others[kind], mel_as=kind if said else "auto")
    np.testing.assert_allclose(found.converted(), mel, atol=1e-4)
    assert "exactly" in found.notes[0]
    np.testing.assert_array_equal(
        opened(tmp_path, others[kind], check=False).converted(), others[kind]
    )


def test_power_is_converted_nearly(tmp_path: Path, mel: FloatArray) -> None:
    """Protects honesty: a conversion that is not exact says so."""
    found = opened(tmp_path, 2 * mel + 3.3, mel_as="ln-power")
    assert "nearly" in found.notes[0]
    assert np.abs(found.converted() - mel)[mel > -9].mean() < 0.2


def test_auto_turns_as_well(tmp_path: Path, mel: FloatArray) -> None:
    """Protects frames-first mels: told by the number of bands; both notes are made."""
    found = opened(tmp_path, log10(mel).T, mel_as="auto")
    np.testing.assert_allclose(found.converted(), mel, atol=1e-4)
    assert [("turned" in note, "log10" in note) for note in found.notes] == [
        (True, False),
        (False, True),
    ]
    with pytest.raises(InputError, match="not"):
        opened(tmp_path, mel.T)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("log10", "looks like natural log, not log10"),
        ("db", "looks like natural log, not decibels"),
        ("magnitude", "looks like natural log, not magnitudes"),
    ],
)
def test_a_name_that_is_wrong_is_told(
    tmp_path: Path, mel: FloatArray, said: str, message: str
) -> None:
    """Protects from a mistaken --mel-as; --no-check believes it."""
    with pytest.raises(InputError, match=message):
        opened(tmp_path, mel, mel_as=said)
    assert opened(tmp_path, mel, mel_as=said, check=False).converted().shape == mel.shape


def test_what_cannot_be_converted(tmp_path: Path, mel: FloatArray) -> None:
    """Protects from guessing: a normalised mel lost what it was normalised with."""
    unit = np.clip((mel + 11.5) / 13, 0, 1)
    for said in (None, "auto", "log10"):
        with pytest.raises(InputError, match=r"normalized to 0\.\.1") as caught:
            opened(tmp_path, unit, mel_as=said)
        assert "undo" in (caught.value.hint or "")


def test_a_doubt_does_not_refuse(tmp_path: Path, mel: FloatArray) -> None:
    """Protects mels that may be either: taken as they are with a doubt; auto asks."""
    quiet = np.maximum(log10(mel)[:, :120], -6) - 0.2 * np.random.default_rng(0).random((80, 120))
    found = opened(tmp_path, quiet.astype(np.float32))
    assert "may be log10" in found.doubts[0]
    assert "--mel-as log10" in found.doubts[0]
    with pytest.raises(InputError, match="cannot be recognized"):
        opened(tmp_path, quiet.astype(np.float32), mel_as="auto")


@pytest.mark.parametrize("factor", [1 / np.log(10), 2 / np.log(10)])
def test_auto_refuses_what_it_cannot_recognize(
    tmp_path: Path, mel: FloatArray, factor: float
) -> None:
    """Protects from guessing: log10 without a floor (ESPnet), log10 of power."""
    unclear = (factor * (mel[:, :120] + 1)).astype(np.float32)
    with pytest.raises(InputError, match="cannot be recognized") as caught:
        opened(tmp_path, unclear, mel_as="auto")
    hint = caught.value.hint or ""
    assert all(f"  {name} " in hint for name in MEL_AS[1:])
    assert "ESPnet" in hint
    scale = "log10" if factor < 0.5 else "log10-power"
    assert opened(tmp_path, unclear, mel_as=scale).scale == SCALES[scale]


def test_auto_accepts_natural_logs_without_silence(tmp_path: Path, mel: FloatArray) -> None:
    """Protects our own mels of recordings with noise: low values, but no floor."""
    noise = 1 + 0.5 * np.random.default_rng(0).standard_normal(mel.shape)
    noisy = np.log(np.exp(mel) + np.exp(-10.9) * noise.clip(0.05))
    found = opened(tmp_path, noisy.astype(np.float32), mel_as="auto")
    assert (found.notes, found.doubts) == ((), ())


def test_a_lower_floor_is_raised(tmp_path: Path, mel: FloatArray) -> None:
    """Protects mels of the same log with another floor: held at the model's, with a note."""
    lower = np.where(mel <= mel.min() + 1e-4, np.float32(np.log(1e-8)), mel)
    found = opened(tmp_path, lower)
    np.testing.assert_allclose(found.converted(), mel, atol=1e-5)
    assert "raised" in found.notes[0]


def test_models_of_other_tools(tmp_path: Path, mel: FloatArray) -> None:
    """Protects their own mels: log10 is right for a model that reads it, natural log is not."""
    espnet = MelConfig.model_validate({"convention": {"log": "log10", "floor": 1e-10}})
    found = opened(tmp_path, log10(mel), mel=espnet)
    np.testing.assert_array_equal(found.converted(), log10(mel))
    with pytest.raises(InputError, match=r"looks like natural log.*this model reads log10"):
        opened(tmp_path, mel, mel=espnet)
    converted = opened(tmp_path, mel, mel=espnet, mel_as="ln").converted()
    np.testing.assert_allclose(converted, log10(mel), atol=1e-5)
    ranged = MelConfig.model_validate({"convention": {"gain": 0.1, "offset": 1.0}})
    np.testing.assert_array_equal(opened(tmp_path, mel, mel=ranged).converted(), mel)


def test_an_unknown_scale_names_the_known(tmp_path: Path, mel: FloatArray) -> None:
    """Protects from a mistyped name."""
    with pytest.raises(UsageError) as caught:
        opened(tmp_path, mel, mel_as="log1")
    assert "log10" in (caught.value.hint or "")
    assert MEL_AS[0] == "auto"
