"""Rows 31 to 36 of the fault matrix (`matrix.py`): models and checkpoints."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.faults.command import Command
from tests.faults.runs import RECIPE, same_checkpoint, saved_steps, train_args
from tests.faults.test_row_outputs import PickleTrap
from tests.forkserver import HIFIGAN_SMALL
from tests.importers.test_official import write_official
from tests.training import small
from tests.training.runs import checkpoint, train_run

SAVING: dict[str, Any] = {**RECIPE, "checkpoint_every": 2}


@pytest.fixture(scope="session")
def trained(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train six steps with checkpoints at 2, 4 and 6."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        small.use_small_discriminators(patch.setattr)
        train_run(prepared, folder, **SAVING)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """Copy the run, to damage the copy."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def resume(cli: Command, prepared: Path, run: Path, **recipe: Any) -> tuple[int, str]:
    """Continue to step 8; return the step it continued from, and stderr."""
    options = {**SAVING, "steps": 8, **recipe}
    result = cli.expect_success(*train_args(prepared, run, **options), program=HIFIGAN_SMALL)
    return result.last_event("started")["step"], result.stderr


def truncate(path: Path) -> None:
    """Remove the second half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_bit(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(bytes(content))


def check_fallback(
    cli: Command, prepared: Path, run: Path, trained: Path, damage: Callable[[Path], None]
) -> None:
    """Damage the newest checkpoint; check that the previous one leads to the same result."""
    damage(checkpoint(run, 6))
    stderr = cli.expect_error(5, "info", checkpoint(run, 6))
    assert checkpoint(run, 6).name in stderr
    step, warned = resume(cli, prepared, run, steps=6)
    assert step == 4
    assert str(checkpoint(run, 6)) in warned
    assert same_checkpoint(run, trained, 6)


def test_row_31_checkpoint_truncated(
    cli: Command, prepared: Path, run: Path, trained: Path
) -> None:
    """Reading it fails with exit code 5; a resume uses the previous one, with a warning."""
    check_fallback(cli, prepared, run, trained, truncate)


def test_row_32_checkpoint_with_a_flipped_bit(
    cli: Command, prepared: Path, run: Path, trained: Path
) -> None:
    """The digest detects an error that no loader detects."""
    check_fallback(cli, prepared, run, trained, flip_bit)


def test_row_32_model_with_a_flipped_bit(
    cli: Command, run: Path, wav: Path, tmp_path: Path
) -> None:
    """A model file is checked before synthesis."""
    flip_bit(run / "model.safetensors")
    stderr = cli.expect_error(5, "resynth", wav, "-o", tmp_path / "o.wav", "-m", run)
    assert "model.safetensors" in stderr
    assert not (tmp_path / "o.wav").exists()


def test_row_33_malicious_pickle(cli: Command, wav: Path, tmp_path: Path) -> None:
    """A .pt file that contains code fails with exit code 5; no command unpickles it."""
    official = write_official(tmp_path)
    trap = tmp_path / "ran"
    torch.save({"generator": {"x": PickleTrap(trap)}}, official)
    out = tmp_path / "m.safetensors"
    stderr = cli.expect_error(5, "import", official, "-o", out)
    assert official.name in stderr
    cli.expect_error(5, "resynth", wav, "-o", tmp_path / "o.wav", "-m", official)
    shutil.copy(official, tmp_path / "x.pt")
    cli.expect_error(3, "info", tmp_path / "x.pt")
    assert not trap.exists()
    assert not out.exists()


def test_row_34_config_that_disagrees(
    cli: Command, prepared: Path, run: Path, tmp_path: Path
) -> None:
    """Exit code 5 with the first key that differs, for a run and for an imported file."""
    options = {**SAVING, "steps": 8, "learning_rate": 1e-3}
    stderr = cli.expect_error(5, *train_args(prepared, run, **options), program=HIFIGAN_SMALL)
    assert re.search(r"train\.learning_rate = 0\.0002\b.* 0\.001\b", stderr)
    assert saved_steps(run) == [2, 4, 6]
    official = write_official(tmp_path, num_mels=100)
    stderr = cli.expect_error(5, "import", official, "-o", tmp_path / "m.safetensors")
    assert "conv_pre" in stderr


def test_row_35_official_names(cli: Command, wav: Path, tmp_path: Path) -> None:
    """Weight norm with the official names is imported and folded, and the model works."""
    official = write_official(tmp_path)
    assert any("weight_g" in key for key in torch.load(official)["generator"])
    out = tmp_path / "m.safetensors"
    imported = cli.expect_success("import", official, "-o", out, "--json").last_event("imported")
    assert imported["folding_error"] < 1e-5
    cli.expect_success("resynth", wav, "-o", tmp_path / "o.wav", "-m", out)
    assert json.loads(cli.expect_success("info", out, "--json").stdout)["kind"] == "vocoder model"


def test_row_36_every_checkpoint_bad(cli: Command, prepared: Path, run: Path) -> None:
    """Exit code 5; all files remain, and training does not restart silently."""
    for step, damage in ((2, truncate), (4, flip_bit), (6, truncate)):
        damage(checkpoint(run, step))
    stderr = cli.expect_error(
        5, *train_args(prepared, run, **{**SAVING, "steps": 8}), program=HIFIGAN_SMALL
    )
    assert str(run / "checkpoints") in stderr
    assert "--fresh" in stderr
    assert saved_steps(run) == [2, 4, 6]
