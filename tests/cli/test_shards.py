"""`vocode` and `resynth` in several processes: every file once, and no process ends the others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hifigan_cli.cli.main import run as command


@pytest.fixture
def mels(tmp_path: Path) -> Path:
    """Return a folder of five short mels."""
    folder = tmp_path / "mels"
    folder.mkdir()
    rng = np.random.default_rng(3)
    for index in range(5):
        mel = rng.uniform(-8, 0, (80, 12 + index)).astype(np.float32)
        np.save(folder / f"{index}.npy", mel)
    return folder


def made(folder: Path) -> dict[str, bytes]:
    """Return the content of every result."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.wav"))}


def test_parts_make_what_one_makes(
    mels: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two parts: the union is the batch of one process, each tells of its own files."""
    line = ["vocode", str(mels), "--model", str(model), "--device", "cpu", "--json"]
    assert command([*line, "-o", str(tmp_path / "alone")]) == 0
    capsys.readouterr()
    for shard, count in (("1/2", 3), ("2/2", 2)):
        assert command([*line, "-o", str(tmp_path / "out"), "--shard", shard]) == 0
        summary = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert (summary["shard"], summary["made"]) == (shard, count)
    assert made(tmp_path / "out") == made(tmp_path / "alone")
    assert len(made(tmp_path / "out")) == 5
    assert command([*line, "-o", str(tmp_path / "out"), "--shard", "3/2"]) == 2


def test_a_pipe_is_not_shared(model: Path, tmp_path: Path) -> None:
    """One stream has one reader."""
    line = ["vocode", "-", "-o", str(tmp_path / "x.wav"), "--model", str(model)]
    assert command([*line, "--shard", "1/2"]) == 2


@pytest.mark.slow
def test_a_bad_file_does_not_stop_the_other_ranks(mels: Path, model: Path, tmp_path: Path) -> None:
    """torchrun stops all processes when one fails, so a rank with a bad file fails last.

    The bad file is the first of rank 0, which has little else to do; the others have many more
    and larger ones, and finish them.
    """
    (mels / "0.npy").write_text("no mel")
    rng = np.random.default_rng(4)
    for index in range(30):
        frames = 12 if index % 2 else 2_000  # an odd index of all lies with rank 1
        mel = rng.uniform(-8, 0, (80, frames)).astype(np.float32)
        np.save(mels / f"more{index:02}.npy", mel)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    options = ["--nproc-per-node", "2", "-m", "hifigan_cli", "vocode", str(mels)]
    ends = ["-o", str(tmp_path / "out"), "--model", str(model), "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    run = subprocess.run(
        [*launcher, *options, *ends],
        env=environment,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert run.returncode != 0
    assert len(made(tmp_path / "out")) == 34
    assert "part 1/2: " in run.stderr
    assert "part 2/2: " in run.stderr
    assert "1 of 18 files failed" in run.stderr
