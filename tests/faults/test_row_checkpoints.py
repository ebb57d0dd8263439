"""Rows 31 to 36: models and checkpoints."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.faults.command import Command
from tests.faults.runs import RECIPE, same, steps_saved, words
from tests.faults.test_row_places import Trap
from tests.forkserver import SMALL
from tests.importers.test_official import write_official
from tests.training import small
from tests.training.runs import checkpoint, go

SAVING: dict[str, Any] = {**RECIPE, "checkpoint_every": 2}


@pytest.fixture(scope="session")
def trained(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of six steps with checkpoints at 2, 4 and 6."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        small.shrink(patch.setattr)
        go(prepared, folder, **SAVING)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """Return a copy of the run, to be damaged."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def resume(cli: Command, prepared: Path, run: Path, **recipe: Any) -> tuple[int, str]:
    """Go on to step 8; return where the run continued, and what it said on stderr."""
    options = {**SAVING, "steps": 8, **recipe}
    ended = cli.done(*words(prepared, run, **options), program=SMALL)
    return ended.told("started")["step"], ended.err


def cut(path: Path) -> None:
    """Take away the second half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(bytes(content))


def falls_back(
    cli: Command, prepared: Path, run: Path, trained: Path, damage: Callable[[Path], None]
) -> None:
    """Damage the newest checkpoint; the one before it serves, and ends at the same bits."""
    damage(checkpoint(run, 6))
    said = cli.refused(5, "info", checkpoint(run, 6))
    assert "damaged" in said or "not a model file" in said
    step, warned = resume(cli, prepared, run, steps=6)
    assert step == 4
    assert "going back to the one before it" in warned
    assert same(run, trained, 6)


def test_row_31_checkpoint_truncated(
    cli: Command, prepared: Path, run: Path, trained: Path
) -> None:
    """Exit 5 where it is read; a resume falls back to the one before, with a warning."""
    falls_back(cli, prepared, run, trained, cut)


def test_row_32_checkpoint_with_a_flipped_bit(
    cli: Command, prepared: Path, run: Path, trained: Path
) -> None:
    """The digest finds what no loader notices."""
    falls_back(cli, prepared, run, trained, flip)


def test_row_32_model_with_a_flipped_bit(
    cli: Command, run: Path, wav: Path, tmp_path: Path
) -> None:
    """A model file is checked before it speaks."""
    flip(run / "model.safetensors")
    said = cli.refused(5, "resynth", wav, "-o", tmp_path / "o.wav", "-m", run)
    assert "does not match its digest" in said
    assert not (tmp_path / "o.wav").exists()


def test_row_33_malicious_pickle(cli: Command, wav: Path, tmp_path: Path) -> None:
    """A .pt that would run code is exit 5, and nothing of it runs; no command unpickles it."""
    official = write_official(tmp_path)
    trap = tmp_path / "ran"
    torch.save({"generator": {"x": Trap(trap)}}, official)
    out = tmp_path / "m.safetensors"
    said = cli.refused(5, "import", official, "-o", out)
    assert "never" in said
    cli.refused(5, "resynth", wav, "-o", tmp_path / "o.wav", "-m", official)
    shutil.copy(official, tmp_path / "x.pt")
    cli.refused(3, "info", tmp_path / "x.pt")
    assert not trap.exists()
    assert not out.exists()


def test_row_34_config_that_disagrees(
    cli: Command, prepared: Path, run: Path, tmp_path: Path
) -> None:
    """Exit 5 with the first key that differs: of a run, and of an imported file."""
    options = {**SAVING, "steps": 8, "learning_rate": 1e-3}
    said = cli.refused(5, *words(prepared, run, **options), program=SMALL)
    assert "train.learning_rate = 0.0002, this command says 0.001" in said
    assert steps_saved(run) == [2, 4, 6]
    official = write_official(tmp_path, num_mels=100)
    said = cli.refused(5, "import", official, "-o", tmp_path / "m.safetensors")
    assert "conv_pre" in said


def test_row_35_official_names(cli: Command, wav: Path, tmp_path: Path) -> None:
    """Weight norm under its old names is imported, folded, and speaks."""
    official = write_official(tmp_path)
    assert any("weight_g" in key for key in torch.load(official)["generator"])
    out = tmp_path / "m.safetensors"
    told = cli.done("import", official, "-o", out, "--json").told("imported")
    assert told["folding_error"] < 1e-5
    cli.done("resynth", wav, "-o", tmp_path / "o.wav", "-m", out)
    assert json.loads(cli.done("info", out, "--json").out)["kind"] == "vocoder model"


def test_row_36_every_checkpoint_bad(cli: Command, prepared: Path, run: Path) -> None:
    """Exit 5, each file kept, and never silently from the beginning."""
    for step, damage in ((2, cut), (4, flip), (6, cut)):
        damage(checkpoint(run, step))
    said = cli.refused(5, *words(prepared, run, **{**SAVING, "steps": 8}), program=SMALL)
    assert "every checkpoint" in said
    assert "--fresh" in said
    assert steps_saved(run) == [2, 4, 6]
