"""The learning rate as a function of the step."""

from __future__ import annotations

import pytest
import torch

from hifigan_cli.config import TrainConfig
from hifigan_cli.training.optimizers import decay_period, learning_rate, set_learning_rate


@pytest.mark.parametrize("period", [1, 7, 809])
def test_learning_rate_equals_torchs_exponential_schedule(period: int) -> None:
    """Check that torch's scheduler, stepped once per epoch, gives the same values."""
    config = TrainConfig(lr_decay=0.9)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=config.learning_rate)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
    for step in range(4 * period):
        assert learning_rate(config, period, step) == pytest.approx(
            optimizer.param_groups[0]["lr"], rel=1e-12
        )
        optimizer.step()
        if (step + 1) % period == 0:
            scheduler.step()


def test_small_corpus_does_not_decay_faster() -> None:
    """Check 3 batches per epoch, which would decay 270 times as fast without a minimum period."""
    config = TrainConfig()
    assert decay_period(config, batches_per_epoch=3) == 809
    assert decay_period(config, batches_per_epoch=5000) == 5000
    assert decay_period(TrainConfig(lr_decay_steps=10), batches_per_epoch=5000) == 10
    after_100k = learning_rate(config, decay_period(config, 3), 100_000)
    assert after_100k > 0.88 * config.learning_rate


def test_set_learning_rate_changes_all_groups() -> None:
    """Check that not only the first parameter group is changed."""
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(2)]
    optimizer = torch.optim.AdamW(groups, lr=1.0)
    set_learning_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.5]
