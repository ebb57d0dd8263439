"""Other rates, from the configuration to the speech: every command on the way, in a subprocess."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hifigan_cli.audio import write_audio
from tests.helpers import hifigan, speech
from tests.training import small

TINY = [
    *("--set", "upsample_initial_channel=16"),
    *("--set", "resblock_kernel_sizes=[3]"),
    *("--set", "resblock_dilation_sizes=[[1]]"),
]


def done(run: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """Expect a command to have succeeded."""
    assert run.returncode == 0, run.stderr
    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sample_rate", "hop", "bands"), [(48_000, 512, 128), (16_000, 200, 80), (44_100, 441, 128)]
)
def test_a_rate_of_ones_own(tmp_path: Path, sample_rate: int, hop: int, bands: int) -> None:
    """Protects `config new`, preprocess, train, mel, vocode and resynth at another rate."""
    corpus, toml = tmp_path / "corpus", tmp_path / "my.toml"
    for index in range(4):
        write_audio(corpus / f"{index}.wav", speech(1.5, 48_000, seed=index), 48_000)
    new = ("config", "new", "--rate", str(sample_rate), "--hop", str(hop), "-p", "v2", "-o", toml)
    done(hifigan(*new, *TINY))
    prepared, run = tmp_path / "prepared", tmp_path / "run"
    done(hifigan("preprocess", corpus, "-o", prepared, "--config", toml, "--workers", "1"))
    recipe = ("--steps", "3", "--set", "batch_size=2", "--set", "workers=0", "--no-tensorboard")
    trained = small.run("train", prepared, "--config", toml, "-o", run, *recipe)
    assert trained.returncode == 0, trained.stderr
    mel, out = tmp_path / "mel.npy", tmp_path / "out.wav"
    done(hifigan("mel", corpus / "0.wav", "-o", mel, "--like", run))
    frames = round(1.5 * sample_rate) // hop
    assert np.load(mel).shape == (bands, frames)
    done(hifigan("vocode", mel, "-o", out, "--model", run))
    found = soundfile.info(out)
    assert (found.samplerate, found.frames) == (sample_rate, frames * hop)
    again = tmp_path / "again.wav"
    spoken = done(hifigan("resynth", corpus / "1.wav", "-o", again, "-m", run, "--json"))
    assert soundfile.info(again).samplerate in (sample_rate, 48_000)
    assert json.loads(spoken.stdout.splitlines()[-1])["length_s"] == pytest.approx(1.5, abs=0.05)


@pytest.mark.slow
def test_presets_of_other_rates_are_measured() -> None:
    """Protects `bench train` where hop, bands and segments are not the paper's."""
    run = small.run(
        *("bench", "train", "-p", "v3-48k", "--fp32", "--steps", "1", "--batch", "1", "--json"),
        *("--set", "upsample_initial_channel=16"),
    )
    assert run.returncode == 0, run.stderr
    (line,) = (json.loads(text) for text in run.stdout.splitlines())
    assert line["segment_size"] == 16_384
    reference = line["steps"][0]
    expected = 16_384 / 48_000 / reference["step_s"]
    assert reference["audio_s_per_s"] == pytest.approx(expected)
    assert line["gradient_difference"] < 1e-3


def test_a_model_of_another_rate_refuses_data_of_this(prepared: Path, tmp_path: Path) -> None:
    """Protects from training at 48 kHz on what was prepared at 22.05: refused before a step."""
    run = small.run("train", prepared, "-p", "v2-48k", *TINY, "-o", tmp_path / "run")
    assert run.returncode in (2, 3)
    assert "22050" in run.stderr.replace(" ", "")
    assert "Traceback" not in run.stderr
