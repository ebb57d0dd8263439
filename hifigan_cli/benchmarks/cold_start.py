"""Measure complete processes, from the command to the written file, including start-up.

For a short recording, importing libraries and preparing the engine take most of the time. A
measurement within a process does not include them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hifigan_cli.audio.speech import bundled_speech
from hifigan_cli.audio.writing import write_audio
from hifigan_cli.benchmarks.machine import Machine, describe_machine
from hifigan_cli.benchmarks.variants import EAGER, EngineVariant, Timing, compare
from hifigan_cli.errors import HifiganError
from hifigan_cli.models.model_file import write_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hifigan_cli.benchmarks.variants import BenchmarkModel

_RECORDING_S = 5.0


@dataclass(frozen=True)
class ColdStartResult:
    """The result of `measure_cold_start`; `length_s` is the length of the recording."""

    machine: Machine
    threads: int
    rounds: int
    length_s: float
    measurements: list[Timing]


def measure_cold_start(
    models: Sequence[BenchmarkModel],
    variants: Sequence[EngineVariant],
    threads: int,
    rounds: int,
    device: str,
    report: Callable[[int, str], None],
) -> ColdStartResult:
    """Run `hifigan resynth` of a short recording with every engine and model, in turn.

    The first round loads the files into the page cache and does not count.
    """
    machine = describe_machine()
    measurements: list[Timing] = []
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "recording.wav"
        speech = bundled_speech()
        shape = 1, round(_RECORDING_S * speech.sample_rate)
        write_audio(recording, np.resize(speech.mono().samples, shape), speech.sample_rate)
        for number, model in enumerate(models):
            path = recording.with_name(f"{number}.safetensors")
            write_model(path, model.model)
            times_s: dict[EngineVariant, list[float]] = {v: [] for v in (EAGER, *variants)}
            for done in range(rounds + 1):
                report(number * (rounds + 1) + done, model.name)
                for variant, times in times_s.items():
                    times.append(_run_resynth(variant, path, recording, threads, device))
            counted = {variant: times[1:] for variant, times in times_s.items()}
            measurements += compare(model.name, counted).values()
    return ColdStartResult(machine, threads, rounds, _RECORDING_S, measurements)


def _run_resynth(
    variant: EngineVariant, model: Path, recording: Path, threads: int, device: str
) -> float:
    """Run one process; return its duration in seconds."""
    command: list[str | Path] = [
        *(sys.executable, "-m", "hifigan_cli", "resynth", recording, "--model", model),
        *("-o", recording.with_name("result.wav"), "--force", "--quiet", "--no-enhance"),
        *("--device", device, "--engine", variant.engine, "--precision", variant.precision),
    ]
    environment = {key: value for key, value in os.environ.items() if key[:8] != "HIFIGAN_"}
    environment["OMP_NUM_THREADS"] = str(threads)
    started = time.perf_counter()
    run = subprocess.run(  # noqa: S603 - this program
        command, capture_output=True, text=True, env=environment, check=False
    )
    elapsed_s = time.perf_counter() - started
    if run.returncode:
        raise HifiganError(f"resynth with {variant.title} failed: {run.stderr.strip()}")
    return elapsed_s
