"""Stopping and going on is the same as never having stopped, to the last bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hifigan_cli.training.events import Finished, Started
from hifigan_cli.training.loggers import MetricsLogger
from tests.training import small
from tests.training.runs import checkpoint, differing, go, metrics

pytestmark = pytest.mark.usefixtures("small_discriminators")
# Every kind of state plays a part: an average, and a learning rate that falls at odd steps.
RECIPE: dict[str, Any] = {"ema_decay": 0.9, "lr_decay": 0.5, "lr_decay_steps": 2}


@pytest.fixture(scope="module", params=[1, 3])
def unbroken(
    request: pytest.FixtureRequest, prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[int, Path]:
    """Return a seed, and a run of it that nothing happened to."""
    seed, run = request.param, tmp_path_factory.mktemp("unbroken") / "run"
    with pytest.MonkeyPatch.context() as patch:
        small.shrink(patch.setattr)
        go(prepared, run, seed=seed, **RECIPE)
    return seed, run


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_resumed_run_equals_the_uninterrupted_one(
    prepared: Path, unbroken: tuple[int, Path], tmp_path: Path, workers: int
) -> None:
    """Protects exact resume in mid-epoch: weights, moments, average, random state, order, rate.

    Re-entering the epoch, decaying once more or restarting the order (mistake 6) changes bits.
    """
    first, whole = unbroken
    go(prepared, tmp_path, seed=first, steps=first, workers=workers, **RECIPE)
    go(prepared, tmp_path, seed=first, workers=workers, **RECIPE)
    assert differing(checkpoint(whole, 6), checkpoint(tmp_path, 6)) == []
    assert differing(whole / "model.safetensors", tmp_path / "model.safetensors") == []


def test_losses_and_rates_go_on_where_they_stopped(prepared: Path, tmp_path: Path) -> None:
    """Protects mistakes 6 and 9 by what the run says of itself: the same figures, step by step."""
    go(prepared, tmp_path / "whole", **RECIPE)
    go(prepared, tmp_path / "parts", steps=3, **RECIPE)
    go(prepared, tmp_path / "parts", **RECIPE)
    whole, parts = metrics(tmp_path / "whole"), metrics(tmp_path / "parts")
    for line in (*whole, *parts):
        line.pop("steps_per_s")
    assert whole == parts
    assert [line["learning_rate"] for line in whole] == [2e-4, 2e-4, 1e-4, 1e-4, 5e-5, 5e-5]
    assert len({line["mel"] for line in whole}) == 6  # six different batches


def test_a_finished_run_says_so_and_does_nothing(prepared: Path, tmp_path: Path) -> None:
    """Protects `--steps` as the total."""
    go(prepared, tmp_path / "run")
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")}
    events = go(prepared, tmp_path / "run")
    assert isinstance(events[-1], Finished)
    assert events[-1].already
    assert not any(isinstance(event, Started) for event in events)
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")}


@pytest.mark.parametrize(("step", "kept"), [(0, []), (1, [0, 1])])
def test_a_start_anew_validates_once(tmp_path: Path, step: int, kept: list[int]) -> None:
    """Protects the record of a run that was killed before its first checkpoint."""
    lines = [json.dumps({"event": "validation", "step": number}) + "\n" for number in (0, 1, 2)]
    (tmp_path / "metrics.jsonl").write_text("".join(lines))
    MetricsLogger(tmp_path / "metrics.jsonl", step, print).close()
    assert [line["step"] for line in metrics(tmp_path, "validation")] == kept


def test_metrics_beyond_the_resumed_step_are_dropped(prepared: Path, tmp_path: Path) -> None:
    """Protects the record: steps done twice are told once, and a line cut by a kill is gone."""
    go(prepared, tmp_path / "run", steps=4, checkpoint_every=2)
    checkpoint(tmp_path / "run", 4).unlink()  # as if killed before it was written
    with (tmp_path / "run/metrics.jsonl").open("a") as stream:
        stream.write('{"event": "train", "st')
    go(prepared, tmp_path / "run", checkpoint_every=2)
    assert [line["step"] for line in metrics(tmp_path / "run")] == [1, 2, 3, 4, 5, 6]
