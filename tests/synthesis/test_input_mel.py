"""Input mels: they are passed on, converted to the model's scale, or rejected with a hint."""

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
from hifigan_cli.synthesis.input_mel import MEL_AS_CHOICES, InputMel, open_mel
from hifigan_cli.types import FloatArray
from tests.helpers import speech

DEFAULT = MelConfig()


@pytest.fixture
def mel() -> FloatArray:
    """Return a log-mel `(n_mels, frames)` of speech-like sound that ends in silence."""
    samples = np.concatenate([speech(1.5), np.zeros(22_050, np.float32)])
    return np.asarray(mel_spectrogram(torch.from_numpy(samples)[None])[0].numpy())


def open_array(
    folder: Path, array: npt.NDArray[np.floating], *, mel: MelConfig = DEFAULT, **options: object
) -> InputMel:
    """Write an array to a file and open it."""
    np.save(folder / "m.npy", array)
    return open_mel(folder / "m.npy", mel, **options)  # type: ignore[arg-type]


def log10(mel: FloatArray) -> FloatArray:
    """Convert a mel from ln to log10."""
    return mel / np.float32(np.log(10))


def test_matching_mel_is_unchanged(tmp_path: Path, mel: FloatArray) -> None:
    """A mel on the model's scale keeps its bits, without a note or warning."""
    for options in ({}, {"mel_as": "ln"}, {"mel_as": "auto"}, {"check": False}):
        input_mel = open_array(tmp_path, mel, **options)
        assert (input_mel.notes, input_mel.warnings) == ((), ()), options
        np.testing.assert_array_equal(input_mel.convert_all(), mel)
        blocks = np.concatenate([block[0] for block in input_mel.blocks()], axis=1)
        np.testing.assert_array_equal(blocks, mel)
    assert input_mel.length_s == mel.shape[1] * 256 / 22_050


@pytest.mark.parametrize("kind", ["log10", "db", "log2", "magnitude"])
@pytest.mark.parametrize("auto", [False, True])
def test_other_scales_are_rejected_or_converted(
    tmp_path: Path, mel: FloatArray, kind: str, auto: bool
) -> None:
    """The error names the `--mel-as` option that converts the mel, and `auto` converts it too."""
    others = {
        "log10": log10(mel),
        "db": 20 * log10(mel),
        "log2": mel / np.float32(np.log(2)),
        "magnitude": np.exp(mel),
    }
    with pytest.raises(InputError, match=r"m\.npy") as caught:
        open_array(tmp_path, others[kind])
    assert f"--mel-as {kind} " in (caught.value.hint or "")
    input_mel = open_array(tmp_path, others[kind], mel_as="auto" if auto else kind)
    np.testing.assert_allclose(input_mel.convert_all(), mel, atol=1e-4)
    assert "exactly" in input_mel.notes[0]
    np.testing.assert_array_equal(
        open_array(tmp_path, others[kind], check=False).convert_all(), others[kind]
    )


def test_power_is_converted_approximately(tmp_path: Path, mel: FloatArray) -> None:
    """The note of an inexact conversion mentions that."""
    input_mel = open_array(tmp_path, 2 * mel + 3.3, mel_as="ln-power")
    assert "approximately" in input_mel.notes[0]
    assert np.abs(input_mel.convert_all() - mel)[mel > -9].mean() < 0.2


def test_auto_transposes(tmp_path: Path, mel: FloatArray) -> None:
    """`auto` also detects a frames-first mel from its number of bands, and notes both changes."""
    input_mel = open_array(tmp_path, log10(mel).T, mel_as="auto")
    np.testing.assert_allclose(input_mel.convert_all(), mel, atol=1e-4)
    assert [("(frames, n_mels)" in note, "log10" in note) for note in input_mel.notes] == [
        (True, False),
        (False, True),
    ]
    with pytest.raises(InputError, match=r"\(80, frames\)"):
        open_array(tmp_path, mel.T)


@pytest.mark.parametrize(
    ("mel_as", "title"), [("log10", "log10"), ("db", "decibels"), ("magnitude", "magnitudes")]
)
def test_wrong_mel_as_is_rejected(tmp_path: Path, mel: FloatArray, mel_as: str, title: str) -> None:
    """A `mel_as` that contradicts the values is an error, unless `check` is off."""
    with pytest.raises(InputError, match=f"natural log .*not {title}"):
        open_array(tmp_path, mel, mel_as=mel_as)
    assert open_array(tmp_path, mel, mel_as=mel_as, check=False).convert_all().shape == mel.shape


def test_normalized_mel_is_rejected(tmp_path: Path, mel: FloatArray) -> None:
    """A normalized mel cannot be converted, because its range is unknown."""
    unit = np.clip((mel + 11.5) / 13, 0, 1)
    for mel_as in (None, "auto", "log10"):
        with pytest.raises(InputError, match=r"normalized to 0\.\.1") as caught:
            open_array(tmp_path, unit, mel_as=mel_as)
        assert "--mel-as" in (caught.value.hint or "")


def test_ambiguous_mel_has_a_warning(tmp_path: Path, mel: FloatArray) -> None:
    """A mel on one of two possible scales is used with a warning, but `auto` rejects it."""
    quiet = np.maximum(log10(mel)[:, :120], -6) - 0.2 * np.random.default_rng(0).random((80, 120))
    input_mel = open_array(tmp_path, quiet.astype(np.float32))
    assert "--mel-as log10" in input_mel.warnings[0]
    with pytest.raises(InputError, match="--mel-as auto"):
        open_array(tmp_path, quiet.astype(np.float32), mel_as="auto")


@pytest.mark.parametrize("factor", [1 / np.log(10), 2 / np.log(10)])
def test_auto_rejects_an_ambiguous_scale(tmp_path: Path, mel: FloatArray, factor: float) -> None:
    """`auto` does not guess: log10 without a floor (ESPnet), log10 of power."""
    unclear = (factor * (mel[:, :120] + 1)).astype(np.float32)
    with pytest.raises(InputError, match="--mel-as auto") as caught:
        open_array(tmp_path, unclear, mel_as="auto")
    hint = caught.value.hint or ""
    assert all(f"  {name} " in hint for name in MEL_AS_CHOICES[1:])
    assert "ESPnet" in hint
    scale = "log10" if factor < 0.5 else "log10-power"
    assert open_array(tmp_path, unclear, mel_as=scale).scale == SCALES[scale]


def test_auto_accepts_natural_logs_without_silence(tmp_path: Path, mel: FloatArray) -> None:
    """`auto` accepts ln mels of noisy recordings, which have low values but no floor."""
    noise = 1 + 0.5 * np.random.default_rng(0).standard_normal(mel.shape)
    noisy = np.log(np.exp(mel) + np.exp(-10.9) * noise.clip(0.05))
    input_mel = open_array(tmp_path, noisy.astype(np.float32), mel_as="auto")
    assert (input_mel.notes, input_mel.warnings) == ((), ())


def test_lower_floor_is_raised(tmp_path: Path, mel: FloatArray) -> None:
    """An ln mel with a lower floor is clamped at the model's floor, with a note."""
    lower = np.where(mel <= mel.min() + 1e-4, np.float32(np.log(1e-8)), mel)
    input_mel = open_array(tmp_path, lower)
    np.testing.assert_allclose(input_mel.convert_all(), mel, atol=1e-5)
    assert "-11.513" in input_mel.notes[0]


def test_model_with_another_scale(tmp_path: Path, mel: FloatArray) -> None:
    """A model on log10 accepts log10 and rejects natural log."""
    espnet = MelConfig.model_validate({"convention": {"log": "log10", "floor": 1e-10}})
    input_mel = open_array(tmp_path, log10(mel), mel=espnet)
    np.testing.assert_array_equal(input_mel.convert_all(), log10(mel))
    with pytest.raises(InputError, match=r"natural log .*log10"):
        open_array(tmp_path, mel, mel=espnet)
    converted = open_array(tmp_path, mel, mel=espnet, mel_as="ln").convert_all()
    np.testing.assert_allclose(converted, log10(mel), atol=1e-5)
    ranged = MelConfig.model_validate({"convention": {"gain": 0.1, "offset": 1.0}})
    np.testing.assert_array_equal(open_array(tmp_path, mel, mel=ranged).convert_all(), mel)


def test_unknown_scale_has_a_suggestion(tmp_path: Path, mel: FloatArray) -> None:
    """The error of a mistyped name suggests the right one."""
    with pytest.raises(UsageError) as caught:
        open_array(tmp_path, mel, mel_as="log1")
    assert "log10" in (caught.value.hint or "")
    assert MEL_AS_CHOICES[0] == "auto"
