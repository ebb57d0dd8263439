"""A start without discriminators, narrow ones, spectra, other voices: for training in hours."""

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
from hifigan_cli.training.health_checks import SETTLED, HealthChecks
from hifigan_cli.training.validation import Utterances
from tests.training import small
from tests.training.runs import CPU, checkpoint, differing, go, metrics

pytestmark = pytest.mark.usefixtures("small_discriminators")
EXTRAS: dict[str, Any] = {
    "adversarial_start": 3,
    "discriminator_width": 0.5,
    "stft_weight": 2.0,
    "speed_range": (0.8, 1.25),
    "peak_range": (0.3, 1.0),
    "ema_decay": 0.9,
}


@pytest.mark.parametrize("first", [2, 3, 4])
def test_stopping_around_the_moment_the_discriminators_join(
    prepared: Path, tmp_path: Path, first: int
) -> None:
    """Before, at and after it: the same bits as without a stop."""
    go(prepared, tmp_path / "whole", **EXTRAS)
    go(prepared, tmp_path / "parts", steps=first, **EXTRAS)
    go(prepared, tmp_path / "parts", workers=1, **EXTRAS)
    assert differing(*(checkpoint(tmp_path / name, 6) for name in ("whole", "parts"))) == []


def test_the_generator_is_alone_at_first(prepared: Path, tmp_path: Path) -> None:
    """The discriminators stay as they began; their losses are 0, then not."""
    run = tmp_path / "run"
    go(prepared, run, steps=3, checkpoint_every=1, keep_checkpoints=9, **EXTRAS)
    states = [read_tensors(checkpoint(run, step))[0] for step in (1, 3)]
    for name, value in states[0].items():
        if name.startswith(("mpd.", "msd.")):
            assert torch.equal(value, states[1][name]), name
    moved = [n for n, v in states[0].items() if n.startswith("generator.")]
    assert any(not torch.equal(states[0][n], states[1][n]) for n in moved)
    go(prepared, run, checkpoint_every=1, keep_checkpoints=9, **EXTRAS)
    losses = [line["discriminator"] for line in metrics(run) if line["event"] == "train"]
    assert losses[:3] == [0.0, 0.0, 0.0]
    assert min(losses[3:]) > 0


def test_accumulated_gradients_are_those_of_the_batch(prepared: Path, tmp_path: Path) -> None:
    """Mel alone: spectral convergence is a ratio over what is at hand, so that pieces differ."""
    recipe = {**EXTRAS, "stft_weight": 0.0, "steps": 2}
    go(prepared, tmp_path / "whole", **recipe)
    go(prepared, tmp_path / "pieces", accumulate=2, **recipe)
    whole, pieces = (read_tensors(checkpoint(tmp_path / n, 2))[0] for n in ("whole", "pieces"))
    for name, value in whole.items():
        if name.startswith("generator."):
            assert torch.allclose(value, pieces[name], atol=1e-5), name


def test_varied_batches_are_functions_of_seed_and_step(prepared: Path) -> None:
    """Two ranks together see what one process sees; variation changes what is seen."""
    data, config = open_prepared(prepared), small.config(**EXTRAS)
    for step in (0, 5):
        whole = AugmentedBatches(data, config)[step].samples
        halves = [AugmentedBatches(data, config, rank, 2)[step].samples for rank in (0, 1)]
        assert torch.equal(whole, torch.cat(halves))
        assert whole.shape == StepBatches(data, config)[step].samples.shape
        assert not torch.equal(whole, StepBatches(data, config)[step].samples)


def test_given_mels_cannot_be_varied(tmp_path: Path) -> None:
    """They fit their recording alone."""
    folder = small.prepare(tmp_path / "with_mels", mels=True)
    with pytest.raises(UsageError, match="fit no other rate"):
        AugmentedBatches(open_prepared(folder), small.config(**EXTRAS))


def test_a_plan_knows_what_is_to_be_trained(prepared: Path, tmp_path: Path) -> None:
    """Narrow discriminators are counted as such; mels that cannot be varied are refused."""
    options = TrainOptions(small.config(discriminator_width=0.5), prepared, tmp_path / "run", CPU)
    judges = MultiPeriodDiscriminator(0.5), MultiScaleDiscriminator(0.5)
    counted = estimate(options, open_prepared(prepared)).discriminator_parameters
    assert counted == sum(map(count_parameters, judges))
    folder = small.prepare(tmp_path / "with_mels", mels=True)
    with pytest.raises(UsageError, match="fit no other rate"):
        estimate(TrainOptions(small.config(**EXTRAS), folder, tmp_path, CPU), open_prepared(folder))


def test_overfitting_is_judged_by_the_segments_that_are_learned(prepared: Path) -> None:
    """Varied ones, where they are varied."""
    data, config = open_prepared(prepared), small.config(overfit=3, **EXTRAS)
    learned = AugmentedBatches(data, config)[5].samples
    judged = Utterances(data, config)
    assert all(torch.equal(judged[row].samples, learned[row]) for row in range(3))


@pytest.mark.parametrize(
    "wrong",
    [{"speed_range": (1.2, 0.8)}, {"discriminator_width": 0.3}, {"peak_range": (0.0, 1.0)}],
)
def test_wrong_values_are_refused(wrong: dict[str, Any]) -> None:
    """Ranges from high to low, widths that groups do not divide, silence."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrainConfig(**wrong)


def test_no_alarm_before_the_discriminators_join() -> None:
    """Untrained discriminators answer the same to everything; that is no sign of death yet."""
    figures = {
        "mel_l1_full": 0.5,
        **{f"period_2.{part}": value for part, value in (("real", 1.0), ("fake", 0.0))},
        "period_2.spread": 0.001,
    }
    for joined, alarms in ((10 * SETTLED, 0), (0, 1)):
        checks = HealthChecks(TrainConfig(adversarial_start=joined))
        steps = range(SETTLED, 2 * SETTLED, 100)
        found = [w for step in steps for w in checks.see("validation", step, figures)]
        assert len([w for w in found if w.kind == "period_2_is_dead"]) == alarms
