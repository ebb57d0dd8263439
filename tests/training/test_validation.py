"""What is validated, and how."""

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
from hifigan_cli.training.validation import Utterances, validate
from tests.training import small
from tests.training.runs import ALONE, CPU, go, metrics

pytestmark = pytest.mark.usefixtures("small_discriminators")


@pytest.mark.parametrize("mels", [False, True])
def test_error_is_the_mean_over_whole_clips_up_to_nyquist(tmp_path: Path, mels: bool) -> None:
    """Protects mel_l1_full: whole clips, full band, each clip counted once, given mels used."""
    data = open_prepared(small.prepare(tmp_path / "prepared", seed=3, mels=mels))
    config = small.config()
    state = VocoderState(config, CPU)
    full = MelConfig(fmax=None)
    errors = []
    for clip in data.validation:
        samples = torch.from_numpy(data.samples(clip))[None]
        given = (
            mel_spectrogram(samples)
            if not mels
            else torch.from_numpy(data.given_mel(clip)).mT[None]
        )
        with torch.no_grad():
            generated = state.generator(given)[:, 0]
        real = mel_spectrogram(samples[:, : generated.shape[1]], full)
        errors.append((mel_spectrogram(generated, full) - real).abs().mean().item())
    found = validate(state, Utterances(data, config), mel_transforms(config, CPU), ALONE)
    assert found is not None
    assert found.clips == 2
    assert found.metrics["mel_l1_full"] == pytest.approx(np.mean(errors), rel=1e-5)
    assert [clip.name for clip in found.audio] == ["clip08"]  # sample_clips is 1


def test_average_is_what_is_validated(prepared: Path) -> None:
    """Protects the figure's meaning: it is of the model that is published."""
    config = small.config(ema_decay=0.9)
    state = VocoderState(config, CPU)
    utterances, mels = Utterances(open_prepared(prepared), config), mel_transforms(config, CPU)
    before = validate(state, utterances, mels, ALONE)
    state.generator.requires_grad_(requires_grad=False)
    for parameter in state.generator.parameters():
        parameter.mul_(3)
    unmoved = validate(state, utterances, mels, ALONE)
    state.restart_ema()
    moved = validate(state, utterances, mels, ALONE)
    assert before is not None
    assert unmoved is not None
    assert moved is not None
    assert before.metrics == unmoved.metrics != moved.metrics


def test_overfit_validates_on_its_own_segments(prepared: Path, tmp_path: Path) -> None:
    """Protects `--overfit N`: N segments, the same at each step, are what is learned and judged."""
    data, config = open_prepared(prepared), small.config(overfit=3)
    utterances = Utterances(data, config)
    batches = StepBatches(data, config)
    assert len(utterances) == 3
    for step in (0, 5):
        for row, samples in enumerate(batches[step].samples):
            assert torch.equal(utterances[row].samples, samples)
    go(prepared, tmp_path / "run", overfit=3, steps=20, validate_every=20, learning_rate=2e-3)
    before, after = (line["mel_l1_full"] for line in metrics(tmp_path / "run", "validation"))
    assert after < 0.9 * before


def test_signal_breaks_validation_off(prepared: Path) -> None:
    """Protects row 39: a long validation does not hold up the stop, and gives no half figure."""
    config = small.config()
    state = VocoderState(config, CPU)
    utterances, mels = Utterances(open_prepared(prepared), config), mel_transforms(config, CPU)
    assert validate(state, utterances, mels, ALONE, stopping=lambda: True) is None


def test_fine_tuning_on_given_mels(tmp_path: Path) -> None:
    """Protects fine-tuning: the given mels, not the recording's own, are the generator's input."""
    prepared = small.prepare(tmp_path / "prepared", mels=True)
    config = small.config()
    batch = StepBatches(open_prepared(prepared), config)[0]
    assert batch.mels is not None
    assert batch.mels.shape == (4, 80, 4)
    go(prepared, tmp_path / "run", steps=2)
    assert len(metrics(tmp_path / "run")) == 2
