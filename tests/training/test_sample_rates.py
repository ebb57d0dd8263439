"""Other sample rates: all commands from the configuration to synthesized speech."""

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


def succeed(process: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """Check that a command succeeded."""
    assert process.returncode == 0, process.stderr
    return process


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sample_rate", "hop_length", "n_mels"),
    [(48_000, 512, 128), (16_000, 200, 80), (44_100, 441, 128)],
)
def test_custom_sample_rate(tmp_path: Path, sample_rate: int, hop_length: int, n_mels: int) -> None:
    """Check `config new`, preprocess, train, mel, vocode and resynth at another sample rate."""
    corpus, toml = tmp_path / "corpus", tmp_path / "my.toml"
    for index in range(4):
        write_audio(corpus / f"{index}.wav", speech(1.5, 48_000, seed=index), 48_000)
    sizes = ("--sample-rate", str(sample_rate), "--hop-length", str(hop_length))
    new = ("config", "new", *sizes, "-p", "v2", "-o", toml)
    succeed(hifigan(*new, *TINY))
    prepared, run = tmp_path / "prepared", tmp_path / "run"
    succeed(hifigan("preprocess", corpus, "-o", prepared, "--config", toml, "--workers", "1"))
    recipe = ("--steps", "3", "--set", "batch_size=2", "--set", "workers=0", "--no-tensorboard")
    succeed(small.run("train", prepared, "--config", toml, "-o", run, *recipe))
    mel, out = tmp_path / "mel.npy", tmp_path / "out.wav"
    succeed(hifigan("mel", corpus / "0.wav", "-o", mel, "--like", run))
    frames = round(1.5 * sample_rate) // hop_length
    assert np.load(mel).shape == (n_mels, frames)
    succeed(hifigan("vocode", mel, "-o", out, "--model", run))
    info = soundfile.info(out)
    assert (info.samplerate, info.frames) == (sample_rate, frames * hop_length)
    resynthesized = tmp_path / "resynthesized.wav"
    process = succeed(
        hifigan("resynth", corpus / "1.wav", "-o", resynthesized, "-m", run, "--json")
    )
    assert soundfile.info(resynthesized).samplerate in (sample_rate, 48_000)
    assert json.loads(process.stdout.splitlines()[-1])["length_s"] == pytest.approx(1.5, abs=0.05)


@pytest.mark.slow
def test_bench_train_at_another_sample_rate() -> None:
    """Check `bench train` with other hop lengths, mel bands and segments than the paper's."""
    process = small.run(
        *("bench", "train", "-p", "v3-48k", "--fp32", "--steps", "1", "--json"),
        *("--batch-size", "1"),
        *("--set", "upsample_initial_channel=16"),
    )
    succeed(process)
    (line,) = (json.loads(text) for text in process.stdout.splitlines())
    assert line["segment_size"] == 16_384
    reference = line["steps"][0]
    expected = 16_384 / 48_000 / reference["step_s"]
    assert reference["audio_s_per_s"] == pytest.approx(expected)
    assert line["gradient_difference"] < 1e-3


def test_data_of_another_sample_rate_is_an_error(prepared: Path, tmp_path: Path) -> None:
    """Check that training at 48 kHz on data prepared at 22.05 kHz fails before the first step."""
    process = small.run("train", prepared, "-p", "v2-48k", *TINY, "-o", tmp_path / "run")
    assert process.returncode in (2, 3)
    assert "22050" in process.stderr.replace(" ", "")
    assert "Traceback" not in process.stderr
