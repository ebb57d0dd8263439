"""Synthesis on the device: CUDA graphs, chunks, threads, the command line, out of memory."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hifigan_cli.benchmarks.variants import random_model
from hifigan_cli.cli.main import run as command
from hifigan_cli.config import PRESETS
from hifigan_cli.engines.cuda_graphs import CudaGraphRunner
from hifigan_cli.engines.selection import EngineOptions
from hifigan_cli.engines.torch import EagerEngine, TorchEngine
from hifigan_cli.models.model_file import write_model
from hifigan_cli.synthesis.vocoder import Vocoder
from tests.engines.test_torch import mel_of, snr_db
from tests.gpu.conftest import Record, run_with_limited_memory
from tests.helpers import speech
from tests.models_for_tests import tiny_model


def engine(device: torch.device, precision: str = "fp32", preset: str = "v2") -> TorchEngine:
    """Return the torch engine of a preset with random weights."""
    return TorchEngine(random_model(PRESETS[preset]), precision, device=str(device))


@pytest.mark.parametrize(("precision", "min_snr_db"), [("fp32", 90), ("fp16", 30), ("bf16", 15)])
def test_graphs_match_the_eager_engine(
    device: torch.device, record: Record, precision: str, min_snr_db: float
) -> None:
    """The first call of a shape runs eagerly, the second is captured, the third is replayed."""
    if precision == "fp16" and device.type == "cpu":
        pytest.skip("the CPU has no fp16")
    model = random_model(PRESETS["v2"])
    eager = EagerEngine(model, device=str(device))
    graphed = engine(device, precision)
    snrs = []
    for seed in range(2):
        for batch, frames in ((1, 40), (3, 25)):
            mel = mel_of(batch, frames, seed)
            snrs += [snr_db(graphed.synthesize(mel), eager.synthesize(mel)) for _ in range(3)]
    record("lowest_snr_db", min(snrs))
    assert min(snrs) > min_snr_db
    if device.type == "cuda":
        assert isinstance(graphed._run, CudaGraphRunner)
        assert graphed._run.failure is None
        assert len(graphed._run._graphs) == 2


def test_chunks_match_one_forward_pass(device: torch.device, record: Record) -> None:
    """The mel has half a minute; its chunks are replayed graphs."""
    vocoder = Vocoder(random_model(PRESETS["v2"]), EngineOptions("torch", "fp32", str(device)))
    mel = mel_of(1, 3000)[0]
    expected = EagerEngine(vocoder.model, device=str(device)).synthesize(mel[None])
    error = float(np.abs(vocoder.vocode(mel[None]).samples - expected).max())
    record("largest_difference", error)
    assert error < 1e-5


def test_threads_share_an_engine(device: torch.device) -> None:
    """Several threads that call one engine with graphs each get their own samples."""
    shared = engine(device)
    mels = [mel_of(1, 30, seed) for seed in range(4)]
    expected = [shared.synthesize(mel) for mel in mels]
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(5):
            samples = shared.synthesize(mels[number])
            if np.abs(samples - expected[number]).max() > 1e-5:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(mels))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_resynth(device: torch.device, tmp_path: Path, precision: str) -> None:
    """The command writes the same audio as on the CPU, up to rounding."""
    source, model = tmp_path / "in.wav", tmp_path / "model.safetensors"
    soundfile.write(source, speech(3.0), 22_050)
    write_model(model, tiny_model())
    waves = []
    for name, dtype in (("cpu", "fp32"), (str(device), precision)):
        out = tmp_path / f"{name.replace(':', '')}-{dtype}.wav"
        arguments = ["resynth", source, "--model", model, "-o", out, "--no-enhance", "--quiet"]
        arguments += ["--device", name, "--precision", dtype, "--engine", "torch", "--force"]
        assert command([str(argument) for argument in arguments]) == 0
        waves.append(soundfile.read(out)[0])
    assert np.abs(waves[0] - waves[1]).max() < (1e-4 if precision == "fp32" else 0.1)


def test_out_of_memory_is_exit_code_8(device: torch.device, tmp_path: Path) -> None:
    """Without memory for the weights there is an error and no file. With a little more, the chunk
    is halved and the file is written."""
    model, mel, out = tmp_path / "v1.safetensors", tmp_path / "mel.npy", tmp_path / "out.wav"
    write_model(model, random_model(PRESETS["v1"]))
    np.save(mel, mel_of(1, 3000)[0])
    arguments = ["vocode", str(mel), "--model", str(model), "-o", str(out)]
    arguments += ["--device", str(device), "--engine", "torch", "--chunk", "1024"]
    run = run_with_limited_memory(device, 30e6, *arguments)
    assert run.returncode == 8, run.stderr
    assert "out of memory" in run.stderr
    assert not out.exists()
    run = run_with_limited_memory(device, 150e6, *arguments)
    assert run.returncode == 0, run.stderr
    assert "512" in run.stderr  # the chunk size after the first reduction
    assert soundfile.info(out).frames == 3000 * 256
