"""Rows 48 to 50 of the fault matrix (`matrix.py`): installation, device, configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.command import Command
from tests.helpers import ROOT


def test_row_48_torchaudio_does_not_match(
    cli: Command, wav: Path, prepared: Path, model: Path, tmp_path: Path
) -> None:
    """The doctor reports the problem and the fix in one line; other commands still work."""
    broken = tmp_path / "site" / "torchaudio"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise RuntimeError('CUDA versions differ')")
    env = {"PYTHONPATH": f"{tmp_path / 'site'}:{ROOT}"}
    result = cli("doctor", env=env)
    assert result.exit_code == 1
    (line,) = (line for line in result.stdout.splitlines() if "CUDA versions differ" in line)
    assert "pip install 'torch>=2.11,<2.15'" in line
    cli.expect_success("resynth", wav, "-o", tmp_path / "o.wav", "-m", model, env=env)
    cli.expect_success("train", prepared, "--out", tmp_path / "run", "--dry-run", env=env)


def test_row_49_no_cuda(cli: Command, wav: Path, model: Path, prepared: Path) -> None:
    """A missing GPU fails with exit code 8 and an alternative; an unknown device, with 2."""
    no_gpu = {"CUDA_VISIBLE_DEVICES": ""}
    for args in (
        ("resynth", wav, "-o", wav.with_name("o.wav"), "-m", model, "--gpu", "0"),
        ("train", prepared, "--out", wav.with_name("run"), "--gpu", "0"),
    ):
        assert "--device auto" in cli.expect_error(8, *args, env=no_gpu)
    args = ("resynth", wav, "-o", wav.with_name("o.wav"), "-m", model, "--device", "gpu")
    cli.expect_error(2, *args)


BAD = {
    "unknown key": ("batchsize=4", "batch_size"),
    "wrong type": ("batch_size=many", "batch_size"),
    "negative hop": ("hop_length=-256", "hop_length"),
    "product": ("hop_length=300", "256"),
    "no value": ("batch_size", "KEY=VALUE"),
}


@pytest.mark.parametrize("kind", BAD)
def test_row_50_bad_configuration(cli: Command, kind: str, tmp_path: Path) -> None:
    """Exit code 2 with the key, and a suggestion for an unknown key."""
    setting, fact = BAD[kind]
    assert fact in cli.expect_error(2, "info", "--resolved", "--set", setting)


def test_row_50_bad_configuration_file(cli: Command, prepared: Path, tmp_path: Path) -> None:
    """Exit code 2 for errors in a file, an environment variable and a preset name."""
    path = tmp_path / "c.toml"
    for text, fact in (
        ("[train]\nbatchsize = 4", "batch_size"),
        ("[train\n", "c.toml"),
        ("[mel]\nhop_samples = -1", "hop_length"),
    ):
        path.write_text(text)
        stderr = cli.expect_error(2, "train", prepared, "--config", path, "--out", tmp_path / "run")
        assert fact in stderr
    assert "v1" in cli.expect_error(2, "info", "--resolved", "--preset", "v11")
    stderr = cli.expect_error(2, "info", "--resolved", env={"HIFIGAN_BATCH_SIZE": "x"})
    assert "HIFIGAN_BATCH_SIZE" in stderr
    assert not (tmp_path / "run").exists()
