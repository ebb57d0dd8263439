"""Training the enhancer: it learns, it resumes to the same bits, it refuses what does not fit."""

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
from hifigan_cli.enhancement.augmentation.pairs_file import Sources
from hifigan_cli.enhancement.config import EnhancerRun, EnhancerTraining
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
from hifigan_cli.training.events import Logged, Noted, Rendering, Saved
from hifigan_cli.training.nonfinite_guard import NonfiniteGuard
from hifigan_cli.training.run_folder import RunFolder
from hifigan_cli.training.trainer import ValidationResult
from tests.data.corpora import write
from tests.enhancement.small import SETS, recipe, sounds
from tests.helpers import hifigan, speech
from tests.models_for_tests import write_tiny_model
from tests.training.runs import CPU, of

if TYPE_CHECKING:
    from hifigan_cli.training.events import Event, EventCallback
    from hifigan_cli.types import HalfArray


@pytest.fixture(autouse=True)
def small_discriminator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the runs of this process a discriminator of a few thousand weights."""
    small = partial(PatchDiscriminator, width=4)
    monkeypatch.setattr("hifigan_cli.enhancement.training.state.PatchDiscriminator", small)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Prepared speech, noises, rooms."""
    return sounds(tmp_path_factory.mktemp("sounds"))


def options(folders: tuple[Path, Path, Path], out: Path, **training: int) -> EnhancerTrainOptions:
    """Ask for a run of seconds."""
    sources = Sources(*folders, MelConfig(), recipe(**training))
    return EnhancerTrainOptions(sources, out, CPU, workers=1)


def ignore(_event: Event) -> None:
    """Report nothing."""


def content(out: Path) -> dict[str, torch.Tensor]:
    """Return every tensor of a run's checkpoint."""
    return read_tensors(RunFolder(out).saved()[0])[0]


def stopping_at(number: int) -> EventCallback:
    """Make a report function that sends this process a signal at a step, once."""

    def report(event: Event) -> None:
        if isinstance(event, Logged) and event.step == number:
            signal.raise_signal(signal.SIGTERM)

    return report


def test_it_learns_and_resumes_to_the_same_bits(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    """Stopped in the first phase, at its end, while only the judge learns, and in the second."""
    events: list[Event] = []
    done = train_enhancer(options(folders, tmp_path / "whole"), events.append)
    trained = [event.losses for event in of(events, Logged)]
    assert trained[-1]["distance"] < trained[0]["distance"]
    assert {"discriminator", "adversarial", "feature"} <= trained[-1].keys()
    assert "discriminator" not in trained[0]

    broken = options(folders, tmp_path / "broken")
    for stop in (5, 15, 40, 80):
        with pytest.raises(InterruptedRunError, match=f"after step {stop}"):
            train_enhancer(broken, stopping_at(stop))
    train_enhancer(broken, ignore)
    first, second = content(tmp_path / "whole"), content(tmp_path / "broken")
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())

    model = read_enhancer(done.model)
    assert model.provenance["steps"] == 90
    assert model.build()(torch.zeros(1, 80, 20)).shape == (1, 80, 20)
    written = (tmp_path / "broken/metrics.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in written]
    assert [line["step"] for line in lines if line["event"] == "train"] == [1, *range(5, 91, 5)]


def test_a_signal_ends_the_rendering(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """The first is heeded at once, since of half the pairs nothing is worth saving."""

    def report(event: Event) -> None:
        assert isinstance(event, Rendering)
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(InterruptedRunError, match="while pairs were rendered"):
        train_enhancer(options(folders, tmp_path), report)
    assert not list((tmp_path / "pairs").iterdir())


def test_another_recipe_or_other_sounds_are_refused(
    folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    """A run goes on only as it began; --fresh starts anew."""
    short = {"steps": 5, "adversarial_steps": 0}
    train_enhancer(options(folders, tmp_path, **short), ignore)
    with pytest.raises(ModelError, match=r"training\.batch_size = 4, this command says 2"):
        train_enhancer(options(folders, tmp_path, **short, batch_size=2), ignore)
    other = tmp_path / "other"
    write(other / "noise.wav", speech(0.5))
    with pytest.raises(InputError, match="changed since"):
        train_enhancer(options((folders[0], other, folders[2]), tmp_path, **short), ignore)


def test_validations_are_not_the_speed_of_steps(
    folders: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock stands still for them."""
    late_s = [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + late_s[0])
    monkeypatch.setattr(meter, "time", clock)

    def validated(*_: object) -> ValidationResult:
        late_s[0] += 1e6
        return ValidationResult({}, 1, 1e6)

    monkeypatch.setattr(enhancer, "validate_enhancer", validated)
    events: list[Event] = []
    short = options(folders, tmp_path, steps=4, adversarial_steps=0, log_every=2, validate_every=1)
    train_enhancer(short, events.append)
    speeds = [event.steps_per_s for event in of(events, Logged)]
    assert len(speeds) == 3
    assert min(speeds) > 1e-5


@pytest.mark.parametrize("step", [0, 80])
def test_numbers_that_are_not_finite_move_no_weight(step: int) -> None:
    """A bad batch is left out, of the judge's learning as well."""
    state, guard = EnhancerState(recipe(), MelConfig(), CPU), NonfiniteGuard(CPU)
    state.step = step
    both = [*state.enhancer.parameters(), *state.discriminator.parameters()]
    before = [p.clone() for p in both]
    bad = torch.full((2, 80, 16), float("nan"))
    enhancer_step(state, bad, bad, guard)
    assert guard.read() == (1, 1)
    assert all(torch.equal(a, b) for a, b in zip(before, both, strict=True))


def poisoned(at: range) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """Return batches that are no numbers at some steps."""

    def batch(
        pairs: HalfArray, training: EnhancerTraining, step: int, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        noisy, clean = enhancer_batch(pairs, training, step, device)
        return (noisy * float("nan"), clean) if step in at else (noisy, clean)

    return batch


@pytest.mark.parametrize("at", [range(12, 30), range(31, 45)])
def test_it_goes_back_once_where_no_gradient_is_finite(
    folders: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: range
) -> None:
    """Ten bad steps in a row: the last checkpoint's weights, other batches; over the change of
    phases too, which the first range holds. Told figures stay numbers."""
    monkeypatch.setattr(enhancer, "enhancer_batch", poisoned(at))
    events: list[Event] = []
    train_enhancer(options(folders, tmp_path), events.append)
    warnings = [event.message for event in of(events, Noted)]
    before = at.start // 5 * 5
    assert [text for text in warnings if text.endswith(f"weights of step {before}")]
    skipped = [re.match(r"updates skipped by step \d+: (\d+)", text) for text in warnings]
    assert sum(int(found[1]) for found in skipped if found) == len(at)
    assert all(
        math.isfinite(value) for event in of(events, Logged) for value in event.losses.values()
    )
    saved = [event.step for event in of(events, Saved)]
    assert saved[-1] == 90
    assert len(set(saved) & set(range(at.start + 1, at.stop + 1))) == 1  # after going back
    assert all(torch.isfinite(value.float()).all() for value in content(tmp_path).values())


def test_it_ends_where_going_back_does_not_help(
    folders: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time it gives up, and the checkpoint is there still."""
    monkeypatch.setattr(enhancer, "enhancer_batch", poisoned(range(12, 90)))
    with pytest.raises(DivergedError, match="no finite gradient"):
        train_enhancer(options(folders, tmp_path), ignore)
    assert all(torch.isfinite(value.float()).all() for value in content(tmp_path).values())


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("chanels=3", "unknown configuration key 'chanels'"),
        ("kernel=4", "must be odd"),
        ("segment_frames=999", "longer than pair_frames"),
        ("snr_db=3", "snr_db"),
    ],
)
def test_wrong_settings_are_named(item: str, message: str) -> None:
    """A wrong key or value is refused with its place, and a guess of what was meant."""
    with pytest.raises(UsageError, match=message):
        resolve_sections(EnhancerRun, None, [item])


def test_settings_come_from_file_and_options(tmp_path: Path) -> None:
    """File, then --set, then named options."""
    path = tmp_path / "c.toml"
    path.write_text("[training]\nsteps = 7000\nbatch_size = 3\n[augmentation]\nreverb = 0.1\n")
    run = resolve_sections(
        EnhancerRun, path, ["batch_size=5", "reverb=0.2"], {"training.steps": 6000}
    )
    assert (run.training.steps, run.training.batch_size, run.augmentation.reverb) == (6000, 5, 0.2)


def test_command_line_end_to_end(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """Train by command, then clean a recording with the result."""
    settings = [*SETS, "adversarial_steps=20"]
    sets = [part for item in settings for part in ("--set", item)]
    names = ("--noises", folders[1], "--rirs", folders[2], "--out", tmp_path / "run")
    words: list[str | Path] = [folders[0], *names, "--device", "cpu", "--workers", "1", *sets]
    planned = hifigan("train-enhancer", *words, "--steps", "24", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "40 pairs" in planned.stdout
    assert not (tmp_path / "run").exists()
    run = hifigan("train-enhancer", *words, "--steps", "24")
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
