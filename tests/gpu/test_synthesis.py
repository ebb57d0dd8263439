"""Synthesis on the device: CUDA graphs, chunks, threads, the command line, too little memory."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hifigan_cli.benchmarks.contenders import random_model
from hifigan_cli.cli.main import run as command
from hifigan_cli.config import PRESETS
from hifigan_cli.engines.choose import EngineOptions
from hifigan_cli.engines.graphs import Graphs
from hifigan_cli.engines.torch import EagerEngine, TorchEngine
from hifigan_cli.models.model_file import write_model
from hifigan_cli.synthesis.vocoder import Vocoder
from tests.engines.test_torch import mel_of, snr_db
from tests.gpu.conftest import Record, with_limited_memory
from tests.helpers import speech
from tests.models_for_tests import tiny_model


def engine(device: torch.device, precision: str = "fp32", preset: str = "v2") -> TorchEngine:
    """Return the torch engine of a preset with random weights."""
    return TorchEngine(random_model(PRESETS[preset]), precision, device=str(device))


@pytest.mark.parametrize(("precision", "least_db"), [("fp32", 90), ("fp16", 30), ("bf16", 15)])
def test_graphs_give_the_samples_of_the_plain_forward(
    device: torch.device, record: Record, precision: str, least_db: float
) -> None:
    """The first call of a shape runs as usual, the second is captured, the third replayed."""
    if precision == "fp16" and device.type == "cpu":
        pytest.skip("the CPU has no fp16")
    model = random_model(PRESETS["v2"])
    plain = EagerEngine(model, device=str(device))
    graphed = engine(device, precision)
    snrs = []
    for seed in range(2):
        for batch, frames in ((1, 40), (3, 25)):
            mel = mel_of(batch, frames, seed)
            snrs += [snr_db(graphed.synthesize(mel), plain.synthesize(mel)) for _ in range(3)]
    record("lowest_snr_db", min(snrs))
    assert min(snrs) > least_db
    if device.type == "cuda":
        assert isinstance(graphed._run, Graphs)
        assert graphed._run.failure is None
        assert len(graphed._run._graphs) == 2


def test_chunks_join_to_the_complete_mel(device: torch.device, record: Record) -> None:
    """A minute in chunks, which are replayed, equals one forward pass."""
    vocoder = Vocoder(random_model(PRESETS["v2"]), EngineOptions("torch", "fp32", str(device)))
    mel = mel_of(1, 3000)[0]
    whole = EagerEngine(vocoder.model, device=str(device)).synthesize(mel[None])
    error = float(np.abs(vocoder.vocode(mel[None]).samples - whole).max())
    record("largest_difference", error)
    assert error < 1e-5


def test_threads_share_an_engine(device: torch.device) -> None:
    """Graphs of one engine called from several threads give each its own samples."""
    shared = engine(device)
    mels = [mel_of(1, 30, seed) for seed in range(4)]
    expected = [shared.synthesize(mel) for mel in mels]
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(5):
            found = shared.synthesize(mels[number])
            if np.abs(found - expected[number]).max() > 1e-5:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(mels))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_resynth(device: torch.device, tmp_path: Path, precision: str) -> None:
    """The command writes what it writes on the CPU, but for rounding."""
    source, model = tmp_path / "in.wav", tmp_path / "model.safetensors"
    soundfile.write(source, speech(3.0), 22_050)
    write_model(model, tiny_model())
    waves = []
    for place, kind in (("cpu", "fp32"), (str(device), precision)):
        out = tmp_path / f"{place.replace(':', '')}-{kind}.wav"
        words = ["resynth", source, "--model", model, "-o", out, "--no-enhance", "--quiet"]
        words += ["--device", place, "--precision", kind, "--engine", "torch", "--force"]
        assert command([str(word) for word in words]) == 0
        waves.append(soundfile.read(out)[0])
    assert np.abs(waves[0] - waves[1]).max() < (1e-4 if precision == "fp32" else 0.1)


def test_out_of_memory_is_exit_code_8(device: torch.device, tmp_path: Path) -> None:
    """Too little for the weights: one line with what to do, and no file. A little more: less at
    a time, and the result."""
    model, mel, out = tmp_path / "v1.safetensors", tmp_path / "mel.npy", tmp_path / "out.wav"
    write_model(model, random_model(PRESETS["v1"]))
    np.save(mel, mel_of(1, 3000)[0])
    words = ["vocode", str(mel), "--model", str(model), "-o", str(out), "--device", str(device)]
    words += ["--engine", "torch", "--chunk", "1024"]
    run = with_limited_memory(device, 30e6, *words)
    assert run.returncode == 8, run.stderr
    assert "out of memory" in run.stderr
    assert not out.exists()
    run = with_limited_memory(device, 150e6, *words)
    assert run.returncode == 0, run.stderr
    assert "halved" in run.stderr
    assert soundfile.info(out).frames == 3000 * 256
