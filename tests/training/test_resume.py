"""A resumed run is bit-identical to an uninterrupted one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hifigan_cli.training.events import Finished, Started
from hifigan_cli.training.loggers import MetricsLogger
from tests.training import small
from tests.training.runs import checkpoint, differing_tensors, metrics, train_run

pytestmark = pytest.mark.usefixtures("small_discriminators")
# Includes an EMA, and a learning rate that decays between checkpoints.
RECIPE: dict[str, Any] = {"ema_decay": 0.9, "lr_decay": 0.5, "lr_decay_steps": 2}


@pytest.fixture(scope="module", params=[1, 3])
def uninterrupted(
    request: pytest.FixtureRequest, prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[int, Path]:
    """Return a seed, and an uninterrupted run with it."""
    seed, run = request.param, tmp_path_factory.mktemp("uninterrupted") / "run"
    with pytest.MonkeyPatch.context() as patch:
        small.use_small_discriminators(patch.setattr)
        train_run(prepared, run, seed=seed, **RECIPE)
    return seed, run


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_resumed_run_is_bit_identical(
    prepared: Path, uninterrupted: tuple[int, Path], tmp_path: Path, workers: int
) -> None:
    """Check a resume within an epoch: weights, moments, EMA, random state, data order, LR.

    Repeating the epoch, an extra decay or another data order would change bits.
    """
    seed, run = uninterrupted
    train_run(prepared, tmp_path, seed=seed, steps=seed, workers=workers, **RECIPE)
    train_run(prepared, tmp_path, seed=seed, workers=workers, **RECIPE)
    assert differing_tensors(checkpoint(run, 6), checkpoint(tmp_path, 6)) == []
    assert differing_tensors(run / "model.safetensors", tmp_path / "model.safetensors") == []


def test_resumed_metrics_are_equal(prepared: Path, tmp_path: Path) -> None:
    """Check the logged losses and learning rates step by step."""
    train_run(prepared, tmp_path / "uninterrupted", **RECIPE)
    train_run(prepared, tmp_path / "resumed", steps=3, **RECIPE)
    train_run(prepared, tmp_path / "resumed", **RECIPE)
    expected, resumed = metrics(tmp_path / "uninterrupted"), metrics(tmp_path / "resumed")
    for line in (*expected, *resumed):
        line.pop("steps_per_s")
    assert resumed == expected
    assert [line["learning_rate"] for line in resumed] == [2e-4, 2e-4, 1e-4, 1e-4, 5e-5, 5e-5]
    assert len({line["mel"] for line in resumed}) == 6  # six different batches


def test_finished_run_is_not_trained_further(prepared: Path, tmp_path: Path) -> None:
    """Check that `--steps` is the total: a repeated command changes no file."""
    train_run(prepared, tmp_path / "run")
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")}
    events = train_run(prepared, tmp_path / "run")
    assert isinstance(events[-1], Finished)
    assert events[-1].already_finished
    assert not any(isinstance(event, Started) for event in events)
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")}


@pytest.mark.parametrize(("step", "kept"), [(0, []), (1, [0, 1])])
def test_repeated_validations_are_logged_once(tmp_path: Path, step: int, kept: list[int]) -> None:
    """Check the metrics of a run that was killed, also before its first checkpoint."""
    lines = [json.dumps({"event": "validation", "step": number}) + "\n" for number in (0, 1, 2)]
    (tmp_path / "metrics.jsonl").write_text("".join(lines))
    MetricsLogger(tmp_path / "metrics.jsonl", step, print).close()
    assert [line["step"] for line in metrics(tmp_path, "validation")] == kept


def test_metrics_beyond_the_resumed_step_are_dropped(prepared: Path, tmp_path: Path) -> None:
    """Check that repeated steps are logged once, and an incomplete line is removed."""
    train_run(prepared, tmp_path / "run", steps=4, checkpoint_every=2)
    checkpoint(tmp_path / "run", 4).unlink()  # simulates a kill before it was written
    with (tmp_path / "run/metrics.jsonl").open("a") as stream:
        stream.write('{"event": "train", "st')
    train_run(prepared, tmp_path / "run", checkpoint_every=2)
    assert [line["step"] for line in metrics(tmp_path / "run")] == [1, 2, 3, 4, 5, 6]
