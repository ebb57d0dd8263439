"""Fixtures: the device under test, and a recorder of measured values."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.helpers import speech
from tests.tools.gpu.pack import pack
from tests.tools.gpu.pairs import SAMPLE_RATE
from tests.training import small

Record = Callable[[str, float], None]
SPEAKERS = {"speechocean": "SPEAKER0461-m", "emodb": "emodb03", "kathleen": "kathleen"}
CLIPS = 3  # per speaker; also the number of noises and of RIRs


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Append each result to the file GPU_TESTS_REPORT, so that a time limit loses no result."""
    path = os.environ.get("GPU_TESTS_REPORT")
    if path is None or (report.when != "call" and report.outcome == "passed"):
        return
    reason = {} if report.passed else {"reason": report.longreprtext[-500:]}
    line = {"test": report.nodeid.rpartition("::")[2], "outcome": report.outcome}
    with Path(path).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({**line, **dict(report.user_properties), **reason}) + "\n")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use the fixture `device`."""
    for item in items:
        if "device" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.gpu)


@pytest.fixture(scope="session")
def device() -> torch.device:
    """Return the device under test: TEST_DEVICE, or the first GPU by default."""
    name = os.environ.get("TEST_DEVICE", "cuda:0")
    if name.startswith("cuda") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    return torch.device(name)


@pytest.fixture
def strict_fp32(device: torch.device) -> Iterator[None]:
    """Compute convolutions in float32; torch's default on CUDA is TF32, with 10 bits."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


@pytest.fixture
def record(record_property: Callable[[str, object], None]) -> Record:
    """Return a function that stores a measured value in the test report."""

    def store(name: str, value: float) -> None:
        record_property(name, float(f"{value:.3g}"))

    return store


@pytest.fixture
def small_discriminators(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the discriminators by small ones with a few thousand weights."""
    small.use_small_discriminators(monkeypatch.setattr)


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a packed corpus of a few synthetic recordings."""
    data = tmp_path_factory.mktemp("corpus")
    draw, rows = np.random.default_rng(3), []
    for name, speaker in SPEAKERS.items():
        for number in range(CLIPS):
            file = f"train/{name}/{name}{number}.wav"
            _write(data / file, speech(2.0, seed=number), SAMPLE_RATE)
            rows.append({"file": file, "speaker": speaker})
    child = {"file": "train/speechocean/child.wav", "speaker": "SPEAKER0001"}
    _write(data / child["file"], speech(2.0, seed=9), SAMPLE_RATE)
    with (data / "manifest.tsv").open("w", newline="") as stream:
        table = csv.DictWriter(stream, ["file", "speaker"], delimiter="\t")
        table.writeheader()
        table.writerows([*rows, child])
    for number in range(CLIPS):
        _write(data / "noise" / f"noise{number}.wav", draw.normal(0, 0.1, 20_000), 16_000)
        response = draw.normal(0, 0.1, 6_000) * np.exp(-np.arange(6_000) / 900)
        response[0] = 0.9
        _write(data / "rir" / f"rir{number}.wav", response, 32_000)
    out = tmp_path_factory.mktemp("packed")
    pack(out, data, megabytes=2, processes=1)
    return out


def _write(path: Path, wave: np.ndarray, sample_rate: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.clip(wave, -1, 1), sample_rate)


def run_with_limited_memory(
    device: torch.device, max_bytes: float, *arguments: str | Path
) -> subprocess.CompletedProcess[str]:
    """Run `hifigan` in a process with limited GPU memory; skip on other devices."""
    if device.type != "cuda":
        pytest.skip("limits the memory of a GPU")
    return subprocess.run(
        [sys.executable, "-c", _LIMITED, str(max_bytes), str(device), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


_LIMITED = """
import sys
import torch
max_bytes, device = float(sys.argv.pop(1)), sys.argv.pop(1)
total = torch.cuda.get_device_properties(device).total_memory
torch.cuda.set_per_process_memory_fraction(max_bytes / total, device)
from hifigan_cli.cli.main import main
main()
"""
