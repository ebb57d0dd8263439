"""Validation: its clips, its errors, and input mels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hifigan_cli.audio import mel_spectrogram
from hifigan_cli.config import MelConfig
from hifigan_cli.data import StepBatches, open_prepared
from hifigan_cli.training.state import VocoderState
from hifigan_cli.training.step import mel_transforms
from hifigan_cli.training.validation import ValidationSet, validate
from tests.training import small
from tests.training.runs import CPU, SINGLE_PROCESS, metrics, train_run

pytestmark = pytest.mark.usefixtures("small_discriminators")


@pytest.mark.parametrize("mels", [False, True])
def test_mel_l1_full(tmp_path: Path, mels: bool) -> None:
    """Check that mel_l1_full is the mean over complete clips and the full band, with input mels."""
    data = open_prepared(small.prepare(tmp_path / "prepared", seed=3, mels=mels))
    config = small.config()
    state = VocoderState(config, CPU)
    full_band = MelConfig(fmax=None)
    errors = []
    for clip in data.validation:
        samples = torch.from_numpy(data.samples(clip))[None]
        input_mel = (
            mel_spectrogram(samples)
            if not mels
            else torch.from_numpy(data.input_mel(clip)).mT[None]
        )
        with torch.no_grad():
            generated = state.generator(input_mel)[:, 0]
        target = mel_spectrogram(samples[:, : generated.shape[1]], full_band)
        errors.append((mel_spectrogram(generated, full_band) - target).abs().mean().item())
    result = validate(
        state, ValidationSet(data, config), mel_transforms(config, CPU), SINGLE_PROCESS
    )
    assert result is not None
    assert result.clips == 2
    assert result.metrics["mel_l1_full"] == pytest.approx(np.mean(errors), rel=1e-5)
    assert [clip.name for clip in result.audio] == ["clip08"]  # logged_clips is 1


def test_validation_uses_the_ema(prepared: Path) -> None:
    """Check that a change of the generator affects the error only through the EMA."""
    config = small.config(ema_decay=0.9)
    state = VocoderState(config, CPU)
    validation_set, mels = (
        ValidationSet(open_prepared(prepared), config),
        mel_transforms(config, CPU),
    )
    before = validate(state, validation_set, mels, SINGLE_PROCESS)
    state.generator.requires_grad_(requires_grad=False)
    for parameter in state.generator.parameters():
        parameter.mul_(3)
    same = validate(state, validation_set, mels, SINGLE_PROCESS)
    state.reset_ema()
    changed = validate(state, validation_set, mels, SINGLE_PROCESS)
    assert before is not None
    assert same is not None
    assert changed is not None
    assert before.metrics == same.metrics != changed.metrics


def test_overfit_validates_on_its_training_segments(prepared: Path, tmp_path: Path) -> None:
    """Check that `--overfit N` trains and validates on the same N segments at each step."""
    data, config = open_prepared(prepared), small.config(overfit=3)
    validation_set = ValidationSet(data, config)
    batches = StepBatches(data, config)
    assert len(validation_set) == 3
    for step in (0, 5):
        for row, samples in enumerate(batches[step].samples):
            assert torch.equal(validation_set[row].samples, samples)
    train_run(
        prepared, tmp_path / "run", overfit=3, steps=20, validate_every=20, learning_rate=2e-3
    )
    before, after = (line["mel_l1_full"] for line in metrics(tmp_path / "run", "validation"))
    assert after < 0.9 * before


def test_signal_stops_validation(prepared: Path) -> None:
    """Check that a signal ends a validation early, without a partial error (row 39)."""
    config = small.config()
    state = VocoderState(config, CPU)
    validation_set, mels = (
        ValidationSet(open_prepared(prepared), config),
        mel_transforms(config, CPU),
    )
    assert validate(state, validation_set, mels, SINGLE_PROCESS, should_stop=lambda: True) is None


def test_fine_tuning_on_input_mels(tmp_path: Path) -> None:
    """Check that batches contain the input mels of the data, and training runs on them."""
    prepared = small.prepare(tmp_path / "prepared", mels=True)
    config = small.config()
    batch = StepBatches(open_prepared(prepared), config)[0]
    assert batch.mels is not None
    assert batch.mels.shape == (4, 80, 4)
    train_run(prepared, tmp_path / "run", steps=2)
    assert len(metrics(tmp_path / "run")) == 2
