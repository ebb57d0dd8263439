"""Folders through `resynth`: overlapped or in batches, the files are those of one by one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.data.corpora import write
from tests.helpers import hifigan, speech

# Runs a command as if the device wanted batches; says how many mels went together. What is not read
# by then is not in a batch, so that all is read first.
BATCHED = """
import sys
from hifigan_cli.synthesis.overlap import _Line
from hifigan_cli.synthesis.vocoder import Vocoder
group = _Line._group
def patient(self):
    reader, _ = self._threads
    reader.join()
    return group(self)
_Line._group = patient
together = Vocoder.vocode_together
def counted(self, mels):
    print("together", len(mels), file=sys.stderr)
    return together(self, mels)
Vocoder.wants_batches, Vocoder.vocode_together = True, counted
from hifigan_cli.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make recordings of several lengths, rates and channels, and one that is none."""
    for number, length_s in enumerate((0.3, 1.1, 0.7, 2.0, 0.01, 1.4)):
        sample_rate = (22_050, 44_100)[number % 2]
        sound = speech(length_s, sample_rate, number)
        write(tmp_path / "in" / f"{number}.wav", sound, sample_rate)
    stereo = np.stack([speech(0.9, 22_050, 8), speech(0.9, 22_050, 9)], axis=1)
    soundfile.write(tmp_path / "in" / "stereo.wav", stereo, 22_050)
    (tmp_path / "in" / "bad.wav").write_text("no sound")
    return tmp_path / "in"


@pytest.mark.parametrize("batched", [False, True])
def test_a_folder_is_its_files(folder: Path, model: Path, tmp_path: Path, batched: bool) -> None:
    """Each file as it is made alone, within a 16-bit step; the bad one is named, exit 6."""
    arguments = ("resynth", folder, "-o", tmp_path / "out", "-m", model, "--keep-sample-rate")
    device = ("--device", "cpu", "--engine", "torch")
    if batched:
        command = [sys.executable, "-c", BATCHED, *map(str, (*arguments, *device))]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        counts = [int(line.split()[1]) for line in run.stderr.splitlines() if "together" in line]
        assert max(counts, default=0) > 1, run.stderr
    else:
        run = hifigan(*arguments, *device)
    assert run.returncode == 6, run.stderr
    assert "bad.wav is not audio" in run.stderr
    good = sorted(path for path in folder.iterdir() if path.name != "bad.wav")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [p.name for p in good]
    for path in good:
        alone = tmp_path / f"alone-{path.name}"
        assert (
            hifigan("resynth", path, "-o", alone, "-m", model, "--keep-sample-rate").returncode == 0
        )
        expected, made = (
            soundfile.read(p, dtype="int16")[0] for p in (alone, tmp_path / "out" / path.name)
        )
        assert made.shape == expected.shape
        assert np.abs(made.astype(int) - expected).max() <= 1
