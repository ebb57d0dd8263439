"""What a run leaves on disk, and what it makes of damage there."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from hifigan_cli.config.resolve import resolve
from hifigan_cli.errors import DivergedError, InputError, ModelError, OutputError
from hifigan_cli.io.files import replacing
from hifigan_cli.models import read_model
from hifigan_cli.models.losses import mel_loss
from hifigan_cli.models.norms import folded
from hifigan_cli.training import step as training_step
from hifigan_cli.training import trainer
from hifigan_cli.training.checkpoint import read_checkpoint, restore, write_checkpoint
from hifigan_cli.training.events import Finished, Logged, Saved, Started, Validated
from hifigan_cli.training.nonfinite_guard import NonfiniteGuard
from hifigan_cli.training.run_folder import RunFolder
from hifigan_cli.training.state import VocoderState
from hifigan_cli.training.step import mel_transforms, train_step
from tests.training import small
from tests.training.runs import CPU, checkpoint, differing, go, noise, of, warnings

pytestmark = pytest.mark.usefixtures("small_discriminators")


@pytest.fixture
def run(prepared: Path, tmp_path: Path) -> Path:
    """Return a run of four steps, with a checkpoint at each of the last three."""
    go(prepared, tmp_path / "run", steps=4, checkpoint_every=1, ema_decay=0.9)
    return tmp_path / "run"


def resumed(prepared: Path, run: Path) -> tuple[int, list[str]]:
    """Go on to step 6; return where it started from, and what it warned of."""
    events = go(prepared, run, checkpoint_every=1, ema_decay=0.9)
    return of(events, Started)[0].step, warnings(events)


def flip_bit(path: Path, place: float) -> None:
    """Change one bit of a file, at a fraction of its length."""
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(bytes(content))


def test_run_folder_holds_what_it_promises(run: Path) -> None:
    """Protects the places that other commands and people look at."""
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


def test_random_numbers_go_on_where_they_stopped(tmp_path: Path) -> None:
    """Protects mistake 9: nothing in the step draws today, and what will may rely on it."""
    state = VocoderState(small.config(), CPU)
    train_step(state, noise(), mel_transforms(state.config, CPU), NonfiniteGuard(CPU))
    write_checkpoint(tmp_path / "checkpoint.safetensors", state, "")
    expected = torch.rand(3)
    restored = VocoderState(small.config(), CPU)
    restore(restored, read_checkpoint(tmp_path / "checkpoint.safetensors"))
    assert torch.equal(torch.rand(3), expected)
    assert restored.step == 1


def test_model_is_the_folded_average(run: Path) -> None:
    """Protects what is published: the average where one is kept, without weight norm."""
    model = read_model(run / "model.safetensors")
    average = folded(read_checkpoint(checkpoint(run, 4)).part("ema."))
    assert model.weights.keys() == average.keys()
    assert all(np.array_equal(value, average[key]) for key, value in model.weights.items())
    assert model.provenance["steps"] == 4
    assert model.build()(torch.zeros(1, 80, 3)).shape == (1, 1, 768)


def test_best_model_is_that_of_the_lowest_error(prepared: Path, tmp_path: Path) -> None:
    """Protects mistake 9: the key that decides is one that is written."""
    events = go(prepared, tmp_path / "run", validate_every=2, learning_rate=0.05)
    found = of(events, Validated)
    assert [event.step for event in found] == [0, 2, 4, 6]
    lowest = min(found, key=lambda event: event.metrics["mel_l1_full"])
    best = read_model(tmp_path / "run/best.safetensors")
    assert best.provenance["steps"] == lowest.step
    assert best.provenance["mel_l1_full"] == lowest.metrics["mel_l1_full"]
    errors = [event.metrics["mel_l1_full"] for event in found]
    lows = [error == min(errors[: i + 1]) for i, error in enumerate(errors)]
    assert [event.best for event in found] == lows


@pytest.mark.parametrize("damage", ["truncated", "bit flipped", "empty"])
def test_damaged_checkpoint_falls_back_to_the_one_before(
    prepared: Path, run: Path, tmp_path: Path, damage: str
) -> None:
    """Protects rows 31 and 32: a warning, and the same end as without the damage."""
    shutil.copytree(run, tmp_path / "sound")
    newest = checkpoint(run, 4)
    if damage == "bit flipped":
        flip_bit(newest, 0.6)
    else:
        newest.write_bytes(newest.read_bytes()[: 1000 if damage == "truncated" else 0])
    step, said = resumed(prepared, run)
    assert step == 3
    assert any(str(newest) in warning for warning in said)
    resumed(prepared, tmp_path / "sound")
    assert differing(checkpoint(run, 6), checkpoint(tmp_path / "sound", 6)) == []


def test_damaged_checkpoint_does_not_push_out_a_good_one(prepared: Path, run: Path) -> None:
    """Protects the last good checkpoint when only one is kept and a damaged one is newer."""
    flip_bit(checkpoint(run, 4), 0.5)
    go(prepared, run, steps=5, checkpoint_every=1, keep_checkpoints=1, ema_decay=0.9)
    assert [path.name for path in RunFolder(run).saved()] == ["step_00000005.safetensors"]


def test_all_checkpoints_damaged_is_an_error(prepared: Path, run: Path) -> None:
    """Protects row 36: never silently from zero, and nothing is removed."""
    for step, place in ((2, 0.3), (3, 0.5), (4, 0.9)):
        flip_bit(checkpoint(run, step), place)
    with pytest.raises(ModelError, match="every checkpoint"):
        resumed(prepared, run)
    assert len(RunFolder(run).saved()) == 3


def test_strays_of_killed_saves_are_swept(prepared: Path, run: Path) -> None:
    """Protects row 38: temporaries go, ours and the library's; nothing else does."""
    with replacing(checkpoint(run, 5)) as temporary:
        temporary.write_bytes(b"half")
        stray = temporary.with_name(temporary.name.replace(".", ".9", 1))
        stray.write_bytes(b"half")
    checkpoint(run, 5).unlink()
    library = run / "checkpoints" / ".tmpAb12Cd"
    mine = run / "notes.txt"
    for path in (library, mine):
        path.write_bytes(b"half")
    assert resumed(prepared, run) == (4, [])
    assert not stray.exists()
    assert not library.exists()
    assert mine.exists()


def test_other_configuration_is_refused_by_the_first_key_that_differs(
    prepared: Path, run: Path
) -> None:
    """Protects row 34: a run is one experiment; keys that weights do not depend on are free."""
    with pytest.raises(ModelError, match=r"train\.batch_size = 4, this command says 2") as caught:
        go(prepared, run, batch_size=2, ema_decay=0.9)
    assert "--fresh" in (caught.value.hint or "")
    events = go(prepared, run, log_every=3, workers=1, keep_checkpoints=1, ema_decay=0.9)
    assert events[-1].step == 6  # type: ignore[union-attr]  # the last is Finished


def test_other_data_are_refused(run: Path, tmp_path: Path) -> None:
    """Protects row 46: going on with other data would be another experiment."""
    other = small.prepare(tmp_path / "other", seed=1)
    with pytest.raises(InputError, match="changed"):
        go(other, run, ema_decay=0.9)


def test_samples_changed_since_preparation_are_found(tmp_path: Path) -> None:
    """Protects row 46: a bit that turned in the packed samples, at the same size."""
    prepared = small.prepare(tmp_path / "prepared")
    flip_bit(prepared / "samples-00001.i16", 0.5)
    with pytest.raises(InputError, match=r"samples-00001\.i16"):
        go(prepared, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_fresh_sets_the_old_run_aside(prepared: Path, run: Path) -> None:
    """Protects what was learned: `--fresh` renames, twice over, and loses nothing."""
    content = {p.name: p.read_bytes() for p in (run / "checkpoints").iterdir()}
    for number in (1, 2):
        events = go(prepared, run, fresh=True, steps=number)
        assert [event.step for event in of(events, Started)] == [0]
    kept = {p.name: p.read_bytes() for p in (run.parent / "run.1/checkpoints").iterdir()}
    assert kept == content
    assert not list((run.parent / "run.1").glob(".lock*"))
    assert checkpoint(run.parent / "run.2", 1).exists()
    assert checkpoint(run, 2).exists()


def test_fresh_sets_checkpoints_without_a_configuration_aside(prepared: Path, run: Path) -> None:
    """A copied folder may lack config.toml; its checkpoints are a run all the same."""
    (run / "config.toml").unlink()
    assert [event.step for event in of(go(prepared, run, fresh=True, steps=1), Started)] == [0]
    assert list((run.parent / "run.1/checkpoints").iterdir())


def test_second_run_in_the_same_folder_is_refused(prepared: Path, run: Path) -> None:
    """Protects row 27: also from being set aside under the feet of the first."""
    with RunFolder(run).held():
        for fresh in (False, True):
            with pytest.raises(OutputError, match="in use by pid"):
                go(prepared, run, fresh=fresh, ema_decay=0.9)
    assert run.exists()


def test_full_disk_does_not_end_a_run_until_the_third_time(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects row 40: warn, go on, keep the old checkpoints; give up after three in a row."""
    full = {2, 3, 5, 6, 7}
    write = write_checkpoint

    def writing(path: Path, *rest: object) -> None:
        if int(path.stem.removeprefix("step_")) in full:
            raise OutputError(f"cannot write {path}: No space left on device")
        write(path, *rest)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(trainer, "write_checkpoint", writing)
    with pytest.raises(OutputError, match="No space"):
        go(prepared, tmp_path / "run", steps=9, checkpoint_every=1)
    assert [p.name[-14:-12] for p in RunFolder(tmp_path / "run").saved()] == ["04", "01"]
    full.clear()
    events = go(prepared, tmp_path / "run", steps=9, checkpoint_every=1)
    assert [event.step for event in of(events, Saved)] == [5, 6, 7, 8, 9]


def test_the_best_step_is_that_of_the_file(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a better model cannot be written, the one that is there stays the best."""
    write = trainer.Trainer._write_model

    def writing(task: trainer.Trainer[object], path: Path, **provenance: object) -> None:
        if path.name == "best.safetensors" and path.exists():
            raise OutputError("No space left on device")
        write(task, path, **provenance)

    monkeypatch.setattr(trainer.Trainer, "_write_model", writing)
    events = go(prepared, tmp_path / "run", validate_every=1)
    assert any("No space" in text for text in warnings(events))
    best = read_model(tmp_path / "run/best.safetensors")
    assert [event.best_step for event in of(events, Finished)] == [best.provenance["steps"]]


class Poison:
    """The mel loss, NaN at some steps; counted from 1."""

    def __init__(self, *steps: int) -> None:
        self.steps, self.calls = steps, 0

    def __call__(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return mel_loss(real, fake) * (float("nan") if self.calls in self.steps else 1)


def test_bad_steps_are_left_out_of_weights_and_means(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects row 41: told, not saved while it lasts, and no NaN in any figure."""
    monkeypatch.setattr(training_step, "mel_loss", Poison(3, 4))
    events = go(prepared, tmp_path / "run", checkpoint_every=1, log_every=2)
    assert [event.step for event in of(events, Saved)] == [1, 2, 5, 6]
    assert warnings(events) == ["updates skipped by step 4: 2, whose gradient was not finite"]
    logged = {event.step: event.losses for event in of(events, Logged)}
    assert list(logged) == [1, 2, 6]
    assert all(math.isfinite(value) for losses in logged.values() for value in losses.values())


def test_divergence_goes_back_once(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects row 41: back to the last checkpoint's weights at ten in a row, then exit 7."""
    monkeypatch.setattr(training_step, "mel_loss", Poison(*range(4, 14)))
    events = go(prepared, tmp_path / "healed", steps=20, checkpoint_every=2)
    last = warnings(events)[-1]
    assert last == "no finite gradient in 10 steps: going back to the weights of step 2"
    assert isinstance(events[-1], Finished)
    monkeypatch.setattr(training_step, "mel_loss", Poison(*range(4, 90)))
    with pytest.raises(DivergedError, match="10 steps up to 23"):
        go(prepared, tmp_path / "lost", steps=80, checkpoint_every=2)
    assert [path.stem for path in RunFolder(tmp_path / "lost").saved()] == ["step_00000002"]
    read_checkpoint(checkpoint(tmp_path / "lost", 2))
    monkeypatch.setattr(training_step, "mel_loss", Poison(*range(1, 90)))
    with pytest.raises(DivergedError):  # nothing to go back to
        go(prepared, tmp_path / "new", steps=80)
