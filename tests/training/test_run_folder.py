"""The files of a run, damaged checkpoints, full disks and divergence."""

from __future__ import annotations

import math
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from hifigan_cli.config.resolve import resolve
from hifigan_cli.errors import DivergedError, InputError, ModelError, OutputError
from hifigan_cli.io.files import atomic_replace
from hifigan_cli.models import read_model
from hifigan_cli.models.losses import mel_loss
from hifigan_cli.models.norms import fold_weight_norm
from hifigan_cli.training import step as training_step
from hifigan_cli.training import trainer
from hifigan_cli.training.checkpoint import read_checkpoint, restore, write_checkpoint
from hifigan_cli.training.events import Finished, Logged, Saved, Started, Validated
from hifigan_cli.training.nonfinite_guard import NonfiniteGuard
from hifigan_cli.training.run_folder import RunFolder
from hifigan_cli.training.state import VocoderState
from hifigan_cli.training.step import mel_transforms, train_step
from tests.training import small
from tests.training.runs import (
    CPU,
    checkpoint,
    differing_tensors,
    noise,
    of_type,
    train_run,
    warnings,
)

pytestmark = pytest.mark.usefixtures("small_discriminators")


@pytest.fixture
def run(prepared: Path, tmp_path: Path) -> Path:
    """Return a run of four steps, with a checkpoint at each of the last three."""
    train_run(prepared, tmp_path / "run", steps=4, checkpoint_every=1, ema_decay=0.9)
    return tmp_path / "run"


def resume(prepared: Path, run: Path) -> tuple[int, list[str]]:
    """Resume and train to step 6; return the step of the resume, and the warnings."""
    events = train_run(prepared, run, checkpoint_every=1, ema_decay=0.9)
    return of_type(events, Started)[0].step, warnings(events)


def flip_bit(path: Path, position: float) -> None:
    """Flip one bit of a file at a fraction of its length."""
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= 1
    path.write_bytes(bytes(content))


def test_files_of_a_run(run: Path) -> None:
    """Check the names of all files, and the content of config.toml."""
    names = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    steps = {f"checkpoints/step_{step:08d}.safetensors" for step in (2, 3, 4)}  # the last three
    assert names == {
        "config.toml",
        "metrics.jsonl",
        "model.safetensors",
        "best.safetensors",
        "validation_audio/clips.json",
        "validation_audio/1-recording.flac",
        "validation_audio/1-generated.flac",
        *steps,
    }
    written = resolve(file=run / "config.toml").config
    assert written.train.ema_decay == 0.9
    assert written.generator == small.config().generator


def test_random_state_is_restored(tmp_path: Path) -> None:
    """Check that a checkpoint restores torch's random state, though no step uses it."""
    state = VocoderState(small.config(), CPU)
    train_step(state, noise(), mel_transforms(state.config, CPU), NonfiniteGuard(CPU))
    write_checkpoint(tmp_path / "checkpoint.safetensors", state, "")
    expected = torch.rand(3)
    restored = VocoderState(small.config(), CPU)
    restore(restored, read_checkpoint(tmp_path / "checkpoint.safetensors"))
    assert torch.equal(torch.rand(3), expected)
    assert restored.step == 1


def test_model_file_contains_the_folded_ema(run: Path) -> None:
    """Check that the model file has the weights of the EMA without weight norm."""
    model = read_model(run / "model.safetensors")
    ema = fold_weight_norm(read_checkpoint(checkpoint(run, 4)).select("ema."))
    assert model.weights.keys() == ema.keys()
    assert all(np.array_equal(value, ema[key]) for key, value in model.weights.items())
    assert model.provenance["steps"] == 4
    assert model.build()(torch.zeros(1, 80, 3)).shape == (1, 1, 768)


def test_best_model_has_the_lowest_error(prepared: Path, tmp_path: Path) -> None:
    """Check step and error of best.safetensors."""
    events = train_run(prepared, tmp_path / "run", validate_every=2, learning_rate=0.05)
    validations = of_type(events, Validated)
    assert [event.step for event in validations] == [0, 2, 4, 6]
    lowest = min(validations, key=lambda event: event.metrics["mel_l1_full"])
    best = read_model(tmp_path / "run/best.safetensors")
    assert best.provenance["steps"] == lowest.step
    assert best.provenance["mel_l1_full"] == lowest.metrics["mel_l1_full"]
    errors = [event.metrics["mel_l1_full"] for event in validations]
    is_lowest = [error == min(errors[: i + 1]) for i, error in enumerate(errors)]
    assert [event.best for event in validations] == is_lowest


@pytest.mark.parametrize("damage", ["truncated", "bit flipped", "empty"])
def test_damaged_checkpoint_falls_back_to_the_previous_one(
    prepared: Path, run: Path, tmp_path: Path, damage: str
) -> None:
    """Check that there is a warning, and the run ends in the same bits (rows 31 and 32)."""
    shutil.copytree(run, tmp_path / "intact")
    newest = checkpoint(run, 4)
    if damage == "bit flipped":
        flip_bit(newest, 0.6)
    else:
        newest.write_bytes(newest.read_bytes()[: 1000 if damage == "truncated" else 0])
    step, messages = resume(prepared, run)
    assert step == 3
    assert any(str(newest) in message for message in messages)
    resume(prepared, tmp_path / "intact")
    assert differing_tensors(checkpoint(run, 6), checkpoint(tmp_path / "intact", 6)) == []


def test_damaged_checkpoint_does_not_count_as_kept(prepared: Path, run: Path) -> None:
    """Check that one intact checkpoint is kept if a damaged one is newer."""
    flip_bit(checkpoint(run, 4), 0.5)
    train_run(prepared, run, steps=5, checkpoint_every=1, keep_checkpoints=1, ema_decay=0.9)
    assert [path.name for path in RunFolder(run).list_checkpoints()] == [
        "step_00000005.safetensors"
    ]


def test_all_checkpoints_damaged_is_an_error(prepared: Path, run: Path) -> None:
    """Check that the run does not restart silently, and no file is removed (row 36)."""
    for step, position in ((2, 0.3), (3, 0.5), (4, 0.9)):
        flip_bit(checkpoint(run, step), position)
    with pytest.raises(ModelError, match=re.escape(str(run / "checkpoints"))) as caught:
        resume(prepared, run)
    assert "--fresh" in (caught.value.hint or "")
    assert len(RunFolder(run).list_checkpoints()) == 3


def test_temporary_files_of_killed_saves_are_removed(prepared: Path, run: Path) -> None:
    """Check temporary files of this package and of safetensors; others stay (row 38)."""
    with atomic_replace(checkpoint(run, 5)) as temporary:
        temporary.write_bytes(b"half")
        leftover = temporary.with_name(temporary.name.replace(".", ".9", 1))
        leftover.write_bytes(b"half")
    checkpoint(run, 5).unlink()
    library = run / "checkpoints" / ".tmpAb12Cd"
    unrelated = run / "notes.txt"
    for path in (library, unrelated):
        path.write_bytes(b"half")
    assert resume(prepared, run) == (4, [])
    assert not leftover.exists()
    assert not library.exists()
    assert unrelated.exists()


def test_other_configuration_is_an_error(prepared: Path, run: Path) -> None:
    """Check that the error names the key and both values (row 34); some keys may change."""
    with pytest.raises(ModelError, match=r"train\.batch_size = 4\D+2\b") as caught:
        train_run(prepared, run, batch_size=2, ema_decay=0.9)
    assert "--fresh" in (caught.value.hint or "")
    events = train_run(prepared, run, log_every=3, workers=1, keep_checkpoints=1, ema_decay=0.9)
    assert events[-1].step == 6  # type: ignore[union-attr]  # Finished


def test_other_data_are_an_error(run: Path, tmp_path: Path) -> None:
    """Check that a run cannot be resumed with other data (row 46)."""
    other = small.prepare(tmp_path / "other", seed=1)
    with pytest.raises(InputError, match=re.escape(str(checkpoint(run, 4)))):
        train_run(other, run, ema_decay=0.9)


def test_damaged_samples_are_detected(tmp_path: Path) -> None:
    """Check a flipped bit in the packed samples (row 46)."""
    prepared = small.prepare(tmp_path / "prepared")
    flip_bit(prepared / "samples-00001.i16", 0.5)
    with pytest.raises(InputError, match=r"samples-00001\.i16"):
        train_run(prepared, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_fresh_renames_the_old_run(prepared: Path, run: Path) -> None:
    """Check that `--fresh`, also twice, renames runs and deletes none."""
    content = {p.name: p.read_bytes() for p in (run / "checkpoints").iterdir()}
    for number in (1, 2):
        events = train_run(prepared, run, fresh=True, steps=number)
        assert [event.step for event in of_type(events, Started)] == [0]
    renamed = {p.name: p.read_bytes() for p in (run.parent / "run.1/checkpoints").iterdir()}
    assert renamed == content
    assert not list((run.parent / "run.1").glob(".lock*"))
    assert checkpoint(run.parent / "run.2", 1).exists()
    assert checkpoint(run, 2).exists()


def test_fresh_renames_a_run_without_configuration(prepared: Path, run: Path) -> None:
    """Check a folder with checkpoints but without config.toml."""
    (run / "config.toml").unlink()
    assert [
        event.step for event in of_type(train_run(prepared, run, fresh=True, steps=1), Started)
    ] == [0]
    assert list((run.parent / "run.1/checkpoints").iterdir())


def test_second_run_in_the_same_folder_is_an_error(prepared: Path, run: Path) -> None:
    """Check that `--fresh` does not rename a running training either (row 27)."""
    with RunFolder(run).lock():
        for fresh in (False, True):
            with pytest.raises(OutputError, match=str(os.getpid())):
                train_run(prepared, run, fresh=fresh, ema_decay=0.9)
    assert run.exists()


def test_third_failed_save_ends_the_run(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that earlier failures are warnings, and old checkpoints are kept (row 40)."""
    disk_full = {2, 3, 5, 6, 7}
    write = write_checkpoint

    def write_or_fail(path: Path, *rest: object) -> None:
        if int(path.stem.removeprefix("step_")) in disk_full:
            raise OutputError(f"cannot write {path}: No space left on device")
        write(path, *rest)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(trainer, "write_checkpoint", write_or_fail)
    with pytest.raises(OutputError, match="No space"):
        train_run(prepared, tmp_path / "run", steps=9, checkpoint_every=1)
    assert [p.name[-14:-12] for p in RunFolder(tmp_path / "run").list_checkpoints()] == ["04", "01"]
    disk_full.clear()
    events = train_run(prepared, tmp_path / "run", steps=9, checkpoint_every=1)
    assert [event.step for event in of_type(events, Saved)] == [5, 6, 7, 8, 9]


def test_best_step_matches_the_file(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that a better model that cannot be written does not count as the best."""
    write = trainer.Trainer._write_model

    def write_or_fail(task: trainer.Trainer[object], path: Path, **provenance: object) -> None:
        if path.name == "best.safetensors" and path.exists():
            raise OutputError("No space left on device")
        write(task, path, **provenance)

    monkeypatch.setattr(trainer.Trainer, "_write_model", write_or_fail)
    events = train_run(prepared, tmp_path / "run", validate_every=1)
    assert any("No space" in text for text in warnings(events))
    best = read_model(tmp_path / "run/best.safetensors")
    assert [event.best_step for event in of_type(events, Finished)] == [best.provenance["steps"]]


class NanMelLoss:
    """A mel loss that is NaN at some steps, counted from 1."""

    def __init__(self, *steps: int) -> None:
        self.steps, self.calls = steps, 0

    def __call__(self, target: torch.Tensor, generated: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return mel_loss(target, generated) * (float("nan") if self.calls in self.steps else 1)


def test_nonfinite_steps_are_skipped(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that they are reported, not saved and not logged (row 41)."""
    monkeypatch.setattr(training_step, "mel_loss", NanMelLoss(3, 4))
    events = train_run(prepared, tmp_path / "run", checkpoint_every=1, log_every=2)
    assert [event.step for event in of_type(events, Saved)] == [1, 2, 5, 6]
    (warning,) = warnings(events)
    assert re.findall(r"\d+", warning) == ["2", "4"]  # skipped updates, step
    losses = {event.step: event.losses for event in of_type(events, Logged)}
    assert list(losses) == [1, 2, 6]
    assert all(math.isfinite(value) for step in losses.values() for value in step.values())


def test_divergence_rolls_back_once(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check the rollback after ten non-finite steps in a row, then the error (row 41)."""
    monkeypatch.setattr(training_step, "mel_loss", NanMelLoss(*range(4, 14)))
    events = train_run(prepared, tmp_path / "recovered", steps=20, checkpoint_every=2)
    assert re.findall(r"\d+", warnings(events)[-1]) == ["10", "2"]  # bad steps, restored step
    assert isinstance(events[-1], Finished)
    monkeypatch.setattr(training_step, "mel_loss", NanMelLoss(*range(4, 90)))
    with pytest.raises(DivergedError, match=r"\b10\b.*\b23\b"):
        train_run(prepared, tmp_path / "diverged", steps=80, checkpoint_every=2)
    assert [path.stem for path in RunFolder(tmp_path / "diverged").list_checkpoints()] == [
        "step_00000002"
    ]
    read_checkpoint(checkpoint(tmp_path / "diverged", 2))
    monkeypatch.setattr(training_step, "mel_loss", NanMelLoss(*range(1, 90)))
    with pytest.raises(DivergedError):  # no checkpoint to load
        train_run(prepared, tmp_path / "new", steps=80)
