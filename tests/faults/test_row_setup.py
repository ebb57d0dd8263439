"""Rows 48 to 50: the installation, the device, the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.command import Command
from tests.helpers import ROOT


def test_row_48_a_pair_that_does_not_pair(
    cli: Command, wav: Path, prepared: Path, model: Path, tmp_path: Path
) -> None:
    """The doctor says in one line what is wrong, and the fix; what needs no torchaudio works."""
    broken = tmp_path / "site" / "torchaudio"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise RuntimeError('CUDA versions differ')")
    env = {"PYTHONPATH": f"{tmp_path / 'site'}:{ROOT}"}
    ended = cli("doctor", env=env)
    assert ended.code == 1
    (line,) = (line for line in ended.out.splitlines() if "CUDA versions differ" in line)
    assert "pip install 'torch>=2.11,<2.15'" in line
    cli.done("resynth", wav, "-o", tmp_path / "o.wav", "-m", model, env=env)
    cli.done("train", prepared, "--out", tmp_path / "run", "--dry-run", env=env)


def test_row_49_no_cuda(cli: Command, wav: Path, model: Path, prepared: Path) -> None:
    """Exit 8, and what works instead; a device's name that is none is exit 2."""
    none = {"CUDA_VISIBLE_DEVICES": ""}
    for words in (
        ("resynth", wav, "-o", wav.with_name("o.wav"), "-m", model, "--gpu", "0"),
        ("train", prepared, "--out", wav.with_name("run"), "--gpu", "0"),
    ):
        assert "--device auto" in cli.refused(8, *words, env=none)
    words = ("resynth", wav, "-o", wav.with_name("o.wav"), "-m", model, "--device", "gpu")
    cli.refused(2, *words)


BAD = {
    "unknown key": ("batchsize=4", "did you mean batch_size?"),
    "wrong type": ("batch_size=many", "batch_size"),
    "negative hop": ("hop_length=-256", "hop_length"),
    "product": ("hop_length=300", "multiply to 256"),
    "no value": ("batch_size", "KEY=VALUE"),
}


@pytest.mark.parametrize("kind", BAD)
def test_row_50_bad_configuration(cli: Command, kind: str, tmp_path: Path) -> None:
    """Exit 2 with the key and, where there is one, the key that was meant."""
    setting, words = BAD[kind]
    assert words in cli.refused(2, "info", "--resolved", "--set", setting)


def test_row_50_bad_configuration_file(cli: Command, prepared: Path, tmp_path: Path) -> None:
    """The same from a file, an environment variable and a preset's name."""
    path = tmp_path / "c.toml"
    for text, words in (
        ("[train]\nbatchsize = 4", "did you mean"),
        ("[train\n", "not valid TOML"),
        ("[mel]\nhop_samples = -1", "hop_length"),
    ):
        path.write_text(text)
        said = cli.refused(2, "train", prepared, "--config", path, "--out", tmp_path / "run")
        assert words in said
    assert "v1" in cli.refused(2, "info", "--resolved", "--preset", "v11")
    said = cli.refused(2, "info", "--resolved", env={"HIFIGAN_BATCH_SIZE": "x"})
    assert "HIFIGAN_BATCH_SIZE" in said
    assert not (tmp_path / "run").exists()
