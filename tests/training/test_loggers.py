"""Loggers: TensorBoard and Weights & Biases, installed or not."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hifigan_cli.errors import UsageError
from hifigan_cli.training import TrainOptions, train
from hifigan_cli.types import Notice
from tests.training import small
from tests.training.runs import CPU, of_type, train_run

pytestmark = pytest.mark.usefixtures("small_discriminators")


def test_tensorboard_contains_metrics_and_media(prepared: Path, tmp_path: Path) -> None:
    """Check that each recording is logged once, and generated audio at each validation."""
    module = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train_run(prepared, tmp_path / "run", steps=4, validate_every=2, tensorboard=True)
    events = module.EventAccumulator(str(tmp_path / "run/tensorboard"))
    events.Reload()
    tags = events.Tags()
    assert set(tags["scalars"]) >= {"train/mel", "train/learning_rate", "validation/mel_l1_full"}
    assert set(tags["audio"]) == {"clip08/generated", "clip08/recording"}
    assert [event.step for event in events.Audio("clip08/generated")] == [0, 2, 4]
    assert [event.step for event in events.Audio("clip08/recording")] == [0]
    assert [event.step for event in events.Images("clip08/mel")] == [0, 2, 4]
    assert events.Audio("clip08/recording")[0].sample_rate == 22_050
    assert events.Images("clip08/mel")[0].height > 2 * 80


def test_missing_tensorboard(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that there is one notice by default, and an error with --tensorboard."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    events = train_run(prepared, tmp_path / "run", steps=1, tensorboard=None)
    notes = [event.message for event in of_type(events, Notice)]
    assert len(notes) == 1
    assert "hifigan-cli[tensorboard]" in notes[0]
    with pytest.raises(UsageError) as caught:
        train_run(prepared, tmp_path / "other", steps=1, tensorboard=True)
    assert "pip install" in (caught.value.hint or "")


def wandb_options(prepared: Path, out: Path, steps: int) -> TrainOptions:
    return TrainOptions(
        small.config(steps=steps), prepared, out, CPU, tensorboard=False, wandb="project"
    )


def test_missing_wandb(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that `--wandb` without the extra is an error with the install command."""
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UsageError) as caught:
        train(wandb_options(prepared, tmp_path / "run", 1), lambda _event: None)
    assert caught.value.hint == "pip install 'hifigan-cli[wandb]'"


class FakeWandB(types.ModuleType):
    """Replaces the package and records its calls."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.inits: list[dict[str, Any]] = []
        self.logged: list[tuple[int, dict[str, Any]]] = []
        self.alerts: list[tuple[str, str]] = []
        self.finished = 0

    def init(self, **options: Any) -> FakeWandB:
        self.inits.append(options)
        return self

    def log(self, values: dict[str, Any], step: int) -> None:
        self.logged.append((step, values))

    def alert(self, title: str, text: str) -> None:
        self.alerts.append((title, text))

    def finish(self) -> None:
        self.finished += 1

    def Settings(self, **options: Any) -> dict[str, Any]:  # noqa: N802 - the name in wandb
        return options

    def Audio(self, samples: np.ndarray, sample_rate: int) -> tuple[str, int]:  # noqa: N802
        assert samples.ndim == 1
        return "audio", sample_rate

    def Image(self, picture: np.ndarray) -> tuple[str, int]:  # noqa: N802 - the name in wandb
        assert picture.dtype == np.uint8
        return "image", picture.shape[2]


def test_resumed_run_keeps_its_wandb_id(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check the id of a resumed run, and the logged steps and media."""
    fake = FakeWandB()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for steps in (1, 2):
        train(wandb_options(prepared, tmp_path / "run", steps), lambda _event: None)
    first, second = (options["id"] for options in fake.inits)
    assert first == second
    assert len(first) == 8
    assert all(options["resume"] == "allow" for options in fake.inits)
    assert fake.finished == 2
    steps_logged = [step for step, _ in fake.logged]
    assert steps_logged == sorted(steps_logged)
    media = [values for _, values in fake.logged if "clip08/mel" in values]
    assert media[0]["clip08/generated"] == ("audio", 22_050)
    assert media[0]["clip08/mel"] == ("image", 3)
