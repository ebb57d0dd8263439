"""Complete processes, from the command to the written file, including start-up.

For a short recording, most of the time goes into importing libraries and preparing the engine,
which no measurement within a process sees.
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

from hifigan_cli.audio.speech import shipped_speech
from hifigan_cli.audio.writing import write_audio
from hifigan_cli.benchmarks.contenders import YARDSTICK, Contender, Figures, compare
from hifigan_cli.benchmarks.machine import Machine, describe_machine
from hifigan_cli.errors import HifiganError
from hifigan_cli.models.model_file import write_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hifigan_cli.benchmarks.contenders import Subject

LENGTH_S = 5.0


@dataclass(frozen=True)
class ColdFigures:
    """The result of `measure_cold`; `length_s` is of the recording."""

    machine: Machine
    threads: int
    rounds: int
    length_s: float
    figures: list[Figures]


def measure_cold(
    subjects: Sequence[Subject],
    contenders: Sequence[Contender],
    threads: int,
    rounds: int,
    device: str,
    report: Callable[[int, str], None],
) -> ColdFigures:
    """Run `hifigan resynth` of a short recording with every engine and model, in turn.

    A first round brings the files into the system's memory and does not count.
    """
    machine = describe_machine()
    figures: list[Figures] = []
    with tempfile.TemporaryDirectory() as place:
        recording = Path(place) / "recording.wav"
        speech = shipped_speech()
        shape = 1, round(LENGTH_S * speech.sample_rate)
        write_audio(recording, np.resize(speech.mono().samples, shape), speech.sample_rate)
        for number, subject in enumerate(subjects):
            model = recording.with_name(f"{number}.safetensors")
            write_model(model, subject.model)
            took_s: dict[Contender, list[float]] = {c: [] for c in (YARDSTICK, *contenders)}
            for done in range(rounds + 1):
                report(number * (rounds + 1) + done, subject.name)
                for contender, times in took_s.items():
                    times.append(_seconds(contender, model, recording, threads, device))
            counted = {contender: times[1:] for contender, times in took_s.items()}
            figures += compare(subject.name, counted).values()
    return ColdFigures(machine, threads, rounds, LENGTH_S, figures)


def _seconds(
    contender: Contender, model: Path, recording: Path, threads: int, device: str
) -> float:
    command: list[str | Path] = [
        *(sys.executable, "-m", "hifigan_cli", "resynth", recording, "--model", model),
        *("-o", recording.with_name("result.wav"), "--force", "--quiet", "--no-enhance"),
        *("--device", device, "--engine", contender.engine, "--precision", contender.precision),
    ]
    environment = {key: value for key, value in os.environ.items() if key[:8] != "HIFIGAN_"}
    environment["OMP_NUM_THREADS"] = str(threads)
    started = time.perf_counter()
    run = subprocess.run(  # noqa: S603 - this program
        command, capture_output=True, text=True, env=environment, check=False
    )
    took_s = time.perf_counter() - started
    if run.returncode:
        raise HifiganError(f"resynth with {contender.title} failed: {run.stderr.strip()}")
    return took_s
