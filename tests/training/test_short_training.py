"""Options for short trainings: late or narrow discriminators, STFT loss, augmentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from hifigan_cli.config import TrainConfig
from hifigan_cli.data.augmentation import AugmentedBatches
from hifigan_cli.data.batches import StepBatches
from hifigan_cli.data.prepared import open_prepared
from hifigan_cli.errors import UsageError
from hifigan_cli.io.tensor_file import read_tensors
from hifigan_cli.models import MultiPeriodDiscriminator, MultiScaleDiscriminator
from hifigan_cli.models.generator import count_parameters
from hifigan_cli.training import TrainOptions, estimate
from hifigan_cli.training.health_checks import GRACE_STEPS, HealthChecks
from hifigan_cli.training.validation import ValidationSet
from tests.training import small
from tests.training.runs import CPU, checkpoint, differing_tensors, metrics, train_run

pytestmark = pytest.mark.usefixtures("small_discriminators")
OPTIONS: dict[str, Any] = {
    "adversarial_start": 3,
    "discriminator_width": 0.5,
    "stft_weight": 2.0,
    "speed_range": (0.8, 1.25),
    "gain_range": (0.3, 1.0),
    "ema_decay": 0.9,
}


@pytest.mark.parametrize("first", [2, 3, 4])
def test_resume_around_the_adversarial_start(prepared: Path, tmp_path: Path, first: int) -> None:
    """Check that a resume before, at and after `adversarial_start` is bit-identical."""
    train_run(prepared, tmp_path / "uninterrupted", **OPTIONS)
    train_run(prepared, tmp_path / "resumed", steps=first, **OPTIONS)
    train_run(prepared, tmp_path / "resumed", workers=1, **OPTIONS)
    assert (
        differing_tensors(
            *(checkpoint(tmp_path / name, 6) for name in ("uninterrupted", "resumed"))
        )
        == []
    )


def test_only_the_generator_is_trained_at_first(prepared: Path, tmp_path: Path) -> None:
    """Check that the discriminators do not change and have loss 0 before `adversarial_start`."""
    run = tmp_path / "run"
    train_run(prepared, run, steps=3, checkpoint_every=1, keep_checkpoints=9, **OPTIONS)
    states = [read_tensors(checkpoint(run, step))[0] for step in (1, 3)]
    for name, value in states[0].items():
        if name.startswith(("mpd.", "msd.")):
            assert torch.equal(value, states[1][name]), name
    names = [name for name in states[0] if name.startswith("generator.")]
    assert any(not torch.equal(states[0][name], states[1][name]) for name in names)
    train_run(prepared, run, checkpoint_every=1, keep_checkpoints=9, **OPTIONS)
    losses = [line["discriminator"] for line in metrics(run) if line["event"] == "train"]
    assert losses[:3] == [0.0, 0.0, 0.0]
    assert min(losses[3:]) > 0


def test_accumulated_gradients_equal_the_batch(prepared: Path, tmp_path: Path) -> None:
    """Check the mel loss only: spectral convergence is a ratio that depends on the micro-batch."""
    recipe = {**OPTIONS, "stft_weight": 0.0, "steps": 2}
    train_run(prepared, tmp_path / "full", **recipe)
    train_run(prepared, tmp_path / "accumulated", micro_batches=2, **recipe)
    expected, accumulated = (
        read_tensors(checkpoint(tmp_path / name, 2))[0] for name in ("full", "accumulated")
    )
    for name, value in expected.items():
        if name.startswith("generator."):
            assert torch.allclose(value, accumulated[name], atol=1e-5), name


def test_augmented_batches_are_functions_of_seed_and_step(prepared: Path) -> None:
    """Check that two ranks share the batch of one process, and that augmentation changes it."""
    data, config = open_prepared(prepared), small.config(**OPTIONS)
    for step in (0, 5):
        batch = AugmentedBatches(data, config)[step].samples
        halves = [AugmentedBatches(data, config, rank, 2)[step].samples for rank in (0, 1)]
        assert torch.equal(batch, torch.cat(halves))
        assert batch.shape == StepBatches(data, config)[step].samples.shape
        assert not torch.equal(batch, StepBatches(data, config)[step].samples)


def test_input_mels_cannot_be_augmented(tmp_path: Path) -> None:
    """Check that augmentation is an error, because mels would not match the changed recordings."""
    folder = small.prepare(tmp_path / "with_mels", mels=True)
    with pytest.raises(UsageError, match="with_mels"):
        AugmentedBatches(open_prepared(folder), small.config(**OPTIONS))


def test_estimate_checks_the_options(prepared: Path, tmp_path: Path) -> None:
    """Check the parameters of narrow discriminators, and the error for augmented input mels."""
    options = TrainOptions(small.config(discriminator_width=0.5), prepared, tmp_path / "run", CPU)
    networks = MultiPeriodDiscriminator(0.5), MultiScaleDiscriminator(0.5)
    parameters = estimate(options, open_prepared(prepared)).discriminator_parameters
    assert parameters == sum(map(count_parameters, networks))
    folder = small.prepare(tmp_path / "with_mels", mels=True)
    with pytest.raises(UsageError, match="with_mels"):
        estimate(
            TrainOptions(small.config(**OPTIONS), folder, tmp_path, CPU), open_prepared(folder)
        )


def test_overfit_validates_on_augmented_segments(prepared: Path) -> None:
    """Check that training and validation use the same augmented segments."""
    data, config = open_prepared(prepared), small.config(overfit=3, **OPTIONS)
    training = AugmentedBatches(data, config)[5].samples
    validation = ValidationSet(data, config)
    assert all(torch.equal(validation[row].samples, training[row]) for row in range(3))


@pytest.mark.parametrize(
    "invalid",
    [{"speed_range": (1.2, 0.8)}, {"discriminator_width": 0.3}, {"gain_range": (0.0, 1.0)}],
)
def test_invalid_values_are_errors(invalid: dict[str, Any]) -> None:
    """Check reversed ranges, widths that the groups do not divide, and a peak of 0."""
    with pytest.raises(ValueError, match=next(iter(invalid))):
        TrainConfig(**invalid)


def test_no_dead_discriminator_before_the_adversarial_start() -> None:
    """Check that the constant scores of untrained discriminators are not reported."""
    metrics_line = {
        "mel_l1_full": 0.5,
        **{f"period_2.{part}": value for part, value in (("real", 1.0), ("fake", 0.0))},
        "period_2.spread": 0.001,
    }
    for adversarial_start, count in ((10 * GRACE_STEPS, 0), (0, 1)):
        checks = HealthChecks(TrainConfig(adversarial_start=adversarial_start))
        steps = range(GRACE_STEPS, 2 * GRACE_STEPS, 100)
        found = [w for step in steps for w in checks.check("validation", step, metrics_line)]
        assert [w.kind for w in found].count("period_2_is_dead") == count
