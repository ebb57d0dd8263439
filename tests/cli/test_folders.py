"""`resynth` of folders: batches and threads give the same files as one command per file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.data.corpora import write
from tests.helpers import hifigan, speech

# Runs a command as if the device preferred batches, and prints the batch sizes. It waits until all
# files are read, because a batch contains only files that are already read.
BATCHED = """
import sys
from hifigan_cli.synthesis.job_runner import _StageThreads
from hifigan_cli.synthesis.vocoder import Vocoder
next_group, vocode_batch = _StageThreads._next_group, Vocoder.vocode_batch
def next_full_group(self):
    reader, _ = self._threads
    reader.join()
    return next_group(self)
def print_batch_size(self, mels):
    print("batch", len(mels), file=sys.stderr)
    return vocode_batch(self, mels)
_StageThreads._next_group = next_full_group
Vocoder.prefers_batches, Vocoder.vocode_batch = True, print_batch_size
from hifigan_cli.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of recordings that differ in length, rate and channels, and a bad file."""
    for number, length_s in enumerate((0.3, 1.1, 0.7, 2.0, 0.01, 1.4)):
        sample_rate = (22_050, 44_100)[number % 2]
        samples = speech(length_s, sample_rate, number)
        write(tmp_path / "in" / f"{number}.wav", samples, sample_rate)
    stereo = np.stack([speech(0.9, 22_050, 8), speech(0.9, 22_050, 9)], axis=1)
    soundfile.write(tmp_path / "in" / "stereo.wav", stereo, 22_050)
    (tmp_path / "in" / "bad.wav").write_text("no sound")
    return tmp_path / "in"


@pytest.mark.parametrize("batched", [False, True])
def test_folder_equals_single_files(
    folder: Path, model: Path, tmp_path: Path, batched: bool
) -> None:
    """Each file equals that of a single command within a 16-bit step; the bad file is named."""
    arguments = ("resynth", folder, "-o", tmp_path / "out", "-m", model, "--keep-sample-rate")
    device = ("--device", "cpu", "--engine", "torch")
    if batched:
        command = [sys.executable, "-c", BATCHED, *map(str, (*arguments, *device))]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = [line.split() for line in run.stderr.splitlines()]
        assert max((int(line[1]) for line in lines if line[0] == "batch"), default=0) > 1, lines
    else:
        run = hifigan(*arguments, *device)
    assert run.returncode == 6, run.stderr
    assert "bad.wav" in run.stderr
    good = sorted(path for path in folder.iterdir() if path.name != "bad.wav")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [p.name for p in good]
    for path in good:
        single = tmp_path / f"single-{path.name}"
        run = hifigan("resynth", path, "-o", single, "-m", model, "--keep-sample-rate")
        assert run.returncode == 0, run.stderr
        expected, output = (
            soundfile.read(p, dtype="int16")[0] for p in (single, tmp_path / "out" / path.name)
        )
        assert output.shape == expected.shape
        assert np.abs(output.astype(int) - expected).max() <= 1
