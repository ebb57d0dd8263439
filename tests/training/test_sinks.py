"""Curves, sounds and pictures: TensorBoard, Weights & Biases, and what is said without them."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hifigan_cli.errors import UsageError
from hifigan_cli.training import TrainOptions, train
from hifigan_cli.training.events import Noted
from tests.training import small
from tests.training.runs import CPU, go, of

pytestmark = pytest.mark.usefixtures("small_discriminators")


def test_tensorboard_holds_curves_audio_and_pictures(prepared: Path, tmp_path: Path) -> None:
    """Protects what people listen to: per clip the recording once, what is generated each time."""
    module = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    go(prepared, tmp_path / "run", steps=4, validate_every=2, tensorboard=True)
    found = module.EventAccumulator(str(tmp_path / "run/tensorboard"))
    found.Reload()
    tags = found.Tags()
    assert set(tags["scalars"]) >= {"train/mel", "train/learning_rate", "validation/mel_l1_full"}
    assert set(tags["audio"]) == {"clip08/generated", "clip08/recording"}
    assert [event.step for event in found.Audio("clip08/generated")] == [0, 2, 4]
    assert [event.step for event in found.Audio("clip08/recording")] == [0]
    assert [event.step for event in found.Images("clip08/mel")] == [0, 2, 4]
    assert found.Audio("clip08/recording")[0].sample_rate == 22_050
    assert found.Images("clip08/mel")[0].height > 2 * 80


def test_without_tensorboard_it_is_said_once(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the default where the extra is absent, and the error where it was asked for."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    events = go(prepared, tmp_path / "run", steps=1, tensorboard=None)
    notes = [event.message for event in of(events, Noted)]
    assert len(notes) == 1
    assert "hifigan-cli[tensorboard]" in notes[0]
    with pytest.raises(UsageError) as caught:
        go(prepared, tmp_path / "other", steps=1, tensorboard=True)
    assert "pip install" in (caught.value.hint or "")


def wandb_options(prepared: Path, out: Path, steps: int) -> TrainOptions:
    return TrainOptions(
        small.config(steps=steps), prepared, out, CPU, tensorboard=False, wandb="project"
    )


def test_missing_wandb_names_its_installation(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects `--wandb` without the extra: an error with the command, not a run without it."""
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UsageError) as caught:
        train(wandb_options(prepared, tmp_path / "run", 1), lambda _event: None)
    assert caught.value.hint == "pip install 'hifigan-cli[wandb]'"


class FakeWandB(types.ModuleType):
    """Stands for the package: writes down how it is called."""

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

    def Settings(self, **options: Any) -> dict[str, Any]:  # noqa: N802 - their name
        return options

    def Audio(self, samples: np.ndarray, sample_rate: int) -> tuple[str, int]:  # noqa: N802
        assert samples.ndim == 1
        return "audio", sample_rate

    def Image(self, picture: np.ndarray) -> tuple[str, int]:  # noqa: N802 - their name
        assert picture.dtype == np.uint8
        return "image", picture.shape[2]


def test_wandb_gets_the_same_and_continues_with_the_run(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the curves' identity: a resumed run goes on under the id of the first."""
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
