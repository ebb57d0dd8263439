"""`vocode` in several shards and under torchrun."""

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


def outputs(folder: Path) -> dict[str, bytes]:
    """Return the content of every output file by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.wav"))}


def test_shards_equal_a_single_process(
    mels: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two shards write the files of a single process, and each reports its own files."""
    arguments = ["vocode", str(mels), "--model", str(model), "--device", "cpu", "--json"]
    assert command([*arguments, "-o", str(tmp_path / "single")]) == 0
    capsys.readouterr()
    for shard, count in (("1/2", 3), ("2/2", 2)):
        assert command([*arguments, "-o", str(tmp_path / "out"), "--shard", shard]) == 0
        summary = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert (summary["shard"], summary["written"]) == (shard, count)
    assert outputs(tmp_path / "out") == outputs(tmp_path / "single")
    assert len(outputs(tmp_path / "out")) == 5
    assert command([*arguments, "-o", str(tmp_path / "out"), "--shard", "3/2"]) == 2


def test_pipe_cannot_be_sharded(model: Path, tmp_path: Path) -> None:
    """--shard with a pipe is a usage error."""
    arguments = ["vocode", "-", "-o", str(tmp_path / "x.wav"), "--model", str(model)]
    assert command([*arguments, "--shard", "1/2"]) == 2


@pytest.mark.slow
def test_bad_file_does_not_stop_other_ranks(mels: Path, model: Path, tmp_path: Path) -> None:
    """torchrun stops all processes when one fails, so a rank with a bad file exits last.

    The bad file is the first of rank 0, which otherwise has only small files; rank 1 has larger
    files and finishes them.
    """
    (mels / "0.npy").write_text("not a mel")
    rng = np.random.default_rng(4)
    for index in range(30):
        frames = 12 if index % 2 else 2_000  # rank 1 gets the files with an even index
        mel = rng.uniform(-8, 0, (80, frames)).astype(np.float32)
        np.save(mels / f"more{index:02}.npy", mel)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    arguments = ["--nproc-per-node", "2", "-m", "hifigan_cli", "vocode", str(mels)]
    options = ["-o", str(tmp_path / "out"), "--model", str(model), "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    run = subprocess.run(
        [*launcher, *arguments, *options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert run.returncode != 0
    assert len(outputs(tmp_path / "out")) == 34
    assert "shard 1/2: " in run.stderr
    assert "shard 2/2: " in run.stderr
    assert "1 of 18 files" in run.stderr
