"""Enhancer training: learning, bit-identical resuming, recovery, and configuration errors."""

from __future__ import annotations

import json
import math
import re
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from hifigan_cli.config import MelConfig
from hifigan_cli.config.resolve import resolve_sections
from hifigan_cli.enhancement.augmentation.pairs_file import PairSources
from hifigan_cli.enhancement.config import EnhancerRunConfig, EnhancerTraining
from hifigan_cli.enhancement.model_file import read_enhancer
from hifigan_cli.enhancement.network import PatchDiscriminator
from hifigan_cli.enhancement.training import EnhancerTrainOptions, enhancer, train_enhancer
from hifigan_cli.enhancement.training.enhancer import enhancer_batch
from hifigan_cli.enhancement.training.state import EnhancerState
from hifigan_cli.enhancement.training.step import enhancer_step
from hifigan_cli.errors import (
    DivergedError,
    InputError,
    InterruptedRunError,
    ModelError,
    UsageError,
)
from hifigan_cli.io.tensor_file import read_tensors
from hifigan_cli.training import meter
from hifigan_cli.training.events import Logged, Rendering, Saved
from hifigan_cli.training.nonfinite_guard import NonfiniteGuard
from hifigan_cli.training.run_folder import RunFolder
from hifigan_cli.training.trainer import ValidationResult
from hifigan_cli.types import Notice
from tests.data.corpora import write
from tests.enhancement.helpers import SETTINGS, recipe, sounds
from tests.helpers import hifigan, speech
from tests.models_for_tests import write_tiny_model
from tests.training.runs import CPU, of_type

if TYPE_CHECKING:
    from hifigan_cli.training.events import Event, EventCallback
    from hifigan_cli.types import HalfArray


@pytest.fixture(autouse=True)
def small_discriminator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a discriminator with a few thousand weights in this process."""
    small = partial(PatchDiscriminator, width=4)
    monkeypatch.setattr("hifigan_cli.enhancement.training.state.PatchDiscriminator", small)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Return the folders of prepared speech, noises and room impulse responses."""
    return sounds(tmp_path_factory.mktemp("sounds"))


def options(folders: tuple[Path, Path, Path], out: Path, **training: int) -> EnhancerTrainOptions:
    """Return the options of a run that takes seconds."""
    sources = PairSources(*folders, MelConfig(), recipe(**training))
    return EnhancerTrainOptions(sources, out, CPU, workers=1)


def ignore(_event: Event) -> None:
    """Ignore an event."""


def content(out: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a run's last checkpoint."""
    return read_tensors(RunFolder(out).list_checkpoints()[0])[0]


def stop_at(step: int) -> EventCallback:
    """Return a callback that sends this process a signal when a step is logged."""

    def report(event: Event) -> None:
        if isinstance(event, Logged) and event.step == step:
            signal.raise_signal(signal.SIGTERM)

    return report


def test_resumed_training_is_bit_identical(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    """Stop in the first phase, at its end, in discriminator-only steps, and in the second phase."""
    events: list[Event] = []
    finished = train_enhancer(options(folders, tmp_path / "uninterrupted"), events.append)
    losses = [event.losses for event in of_type(events, Logged)]
    assert losses[-1]["distance"] < losses[0]["distance"]
    assert {"discriminator", "adversarial", "feature"} <= losses[-1].keys()
    assert "discriminator" not in losses[0]

    resumed = options(folders, tmp_path / "resumed")
    for stop in (5, 15, 40, 80):
        with pytest.raises(InterruptedRunError, match=rf"step {stop}\b"):
            train_enhancer(resumed, stop_at(stop))
    train_enhancer(resumed, ignore)
    first, second = content(tmp_path / "uninterrupted"), content(tmp_path / "resumed")
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())

    model = read_enhancer(finished.model)
    assert model.provenance["steps"] == 90
    assert model.build()(torch.zeros(1, 80, 20)).shape == (1, 80, 20)
    lines = (tmp_path / "resumed/metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [r["step"] for r in records if r["event"] == "train"] == [1, *range(5, 91, 5)]


def test_signal_stops_rendering(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """Rendering stops at once and leaves no files."""

    def report(event: Event) -> None:
        assert isinstance(event, Rendering)
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(InterruptedRunError, match="pairs"):
        train_enhancer(options(folders, tmp_path), report)
    assert not list((tmp_path / "pairs").iterdir())


def test_another_recipe_or_other_sounds_are_errors(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    """A run resumes only with the same recipe and the same sounds."""
    short = {"steps": 5, "adversarial_steps": 0}
    train_enhancer(options(folders, tmp_path, **short), ignore)
    with pytest.raises(ModelError, match=r"training\.batch_size = 4\D+2\b"):
        train_enhancer(options(folders, tmp_path, **short, batch_size=2), ignore)
    other = tmp_path / "other"
    write(other / "noise.wav", speech(0.5))
    with pytest.raises(InputError, match=re.escape(str(tmp_path))):
        train_enhancer(options((folders[0], other, folders[2]), tmp_path, **short), ignore)


def test_steps_per_s_excludes_validation(
    folders: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow validation does not lower the reported speed."""
    offset_s = [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + offset_s[0])
    monkeypatch.setattr(meter, "time", clock)

    def slow_validation(*_: object) -> ValidationResult:
        offset_s[0] += 1e6
        return ValidationResult({}, 1, 1e6)

    monkeypatch.setattr(enhancer, "validate_enhancer", slow_validation)
    events: list[Event] = []
    short = options(folders, tmp_path, steps=4, adversarial_steps=0, log_every=2, validate_every=1)
    train_enhancer(short, events.append)
    speeds = [event.steps_per_s for event in of_type(events, Logged)]
    assert len(speeds) == 3
    assert min(speeds) > 1e-5


@pytest.mark.parametrize("step", [0, 80])
def test_nonfinite_batch_does_not_change_weights(step: int) -> None:
    """The guard skips the updates of the enhancer and of the discriminator."""
    state, guard = EnhancerState(recipe(), MelConfig(), CPU), NonfiniteGuard(CPU)
    state.step = step
    parameters = [*state.enhancer.parameters(), *state.discriminator.parameters()]
    before = [p.clone() for p in parameters]
    bad = torch.full((2, 80, 16), float("nan"))
    enhancer_step(state, bad, bad, guard)
    assert guard.read() == (1, 1)
    assert all(torch.equal(a, b) for a, b in zip(before, parameters, strict=True))


def nan_batches(steps: range) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """Return a batch function whose batches are NaN in some steps."""

    def batch(
        pairs: HalfArray, training: EnhancerTraining, step: int, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        noisy, clean = enhancer_batch(pairs, training, step, device)
        return (noisy * float("nan"), clean) if step in steps else (noisy, clean)

    return batch


@pytest.mark.parametrize("steps", [range(12, 30), range(31, 45)])
def test_nonfinite_gradients_roll_back_once(
    folders: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: range
) -> None:
    """After ten bad steps in a row, training restores the last checkpoint's weights and goes on.

    The first range includes the change of phases. Logged losses are always finite.
    """
    monkeypatch.setattr(enhancer, "enhancer_batch", nan_batches(steps))
    events: list[Event] = []
    train_enhancer(options(folders, tmp_path), events.append)
    warnings = [event.message for event in of_type(events, Notice)]
    before = steps.start // 5 * 5
    assert [text for text in warnings if text.endswith(f"step {before}")]
    skipped = [re.match(r"(\d+) updates", text) for text in warnings]
    assert sum(int(match[1]) for match in skipped if match) == len(steps)
    assert all(
        math.isfinite(value) for event in of_type(events, Logged) for value in event.losses.values()
    )
    saved = [event.step for event in of_type(events, Saved)]
    assert saved[-1] == 90
    assert len(set(saved) & set(range(steps.start + 1, steps.stop + 1))) == 1  # after rolling back
    assert all(torch.isfinite(value.float()).all() for value in content(tmp_path).values())


def test_second_divergence_is_an_error(
    folders: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint remains and is finite."""
    monkeypatch.setattr(enhancer, "enhancer_batch", nan_batches(range(12, 90)))
    with pytest.raises(DivergedError):
        train_enhancer(options(folders, tmp_path), ignore)
    assert all(torch.isfinite(value.float()).all() for value in content(tmp_path).values())


@pytest.mark.parametrize(
    ("item", "fact"),
    [
        ("chanels=3", "'chanels'"),
        ("kernel=4", "kernel is 4"),
        ("segment_frames=999", "segment_frames.*pair_frames"),
        ("snr_db=3", "snr_db"),
    ],
)
def test_invalid_settings_are_errors(item: str, fact: str) -> None:
    """The message contains the wrong key or value."""
    with pytest.raises(UsageError, match=fact):
        resolve_sections(EnhancerRunConfig, None, [item])


def test_precedence_of_settings(tmp_path: Path) -> None:
    """`--set` overrides the file, and named options override `--set`."""
    path = tmp_path / "c.toml"
    path.write_text("[training]\nsteps = 7000\nbatch_size = 3\n[augmentation]\nreverb = 0.1\n")
    run = resolve_sections(
        EnhancerRunConfig,
        path,
        ["batch_size=5", "reverb_probability=0.2"],
        {"training.steps": 6000},
    )
    assert (run.training.steps, run.training.batch_size, run.augmentation.reverb_probability) == (
        6000,
        5,
        0.2,
    )


def test_command_line_end_to_end(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """Train an enhancer, then enhance a recording with it."""
    settings = [*SETTINGS, "adversarial_steps=20"]
    sets = [part for item in settings for part in ("--set", item)]
    paths = ("--noises", folders[1], "--rirs", folders[2], "--out", tmp_path / "run")
    args: list[str | Path] = [folders[0], *paths, "--device", "cpu", "--workers", "1", *sets]
    dry_run = hifigan("train-enhancer", *args, "--steps", "24", "--dry-run")
    assert dry_run.returncode == 0, dry_run.stderr
    assert "40 pairs" in dry_run.stdout
    assert not (tmp_path / "run").exists()
    run = hifigan("train-enhancer", *args, "--steps", "24")
    assert run.returncode == 0, run.stderr
    assert "enhancer.safetensors" in run.stderr
    wav = write(tmp_path / "in.wav", speech(0.8) + np.random.default_rng(0).normal(0, 0.05, 17_640))
    model = write_tiny_model(tmp_path / "m.safetensors")
    outputs: list[tuple[bytes, str]] = []
    for option in (("--enhancer", tmp_path / "run"), ("--no-enhance",)):
        out = tmp_path / f"{len(outputs)}.wav"
        run = hifigan("resynth", wav, "-o", out, "-m", model, *option)
        assert run.returncode == 0, run.stderr
        outputs.append((out.read_bytes(), run.stderr))
    assert outputs[0][0] != outputs[1][0]
    assert "enhancement: off" not in outputs[0][1]
    assert "enhancement: off" in outputs[1][1]
