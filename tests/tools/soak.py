"""Test that memory, file handles and throughput stay constant in long runs.

    python -m tests.tools.soak [--files 2000] [--hours 3] [--model default] [--json FILE]

`hifigan resynth` processes a folder of short recordings, then one long recording. This measures the
process four times a second. The first tenth of a run is warm-up; after it, nothing may grow. The
speed is per second of CPU time, because other processes may use the machine. The exit code is 1 if
anything has changed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from hifigan_cli.config import PRESETS
from hifigan_cli.models import write_model
from tests.forkserver import HIFIGAN
from tests.helpers import environment, speech
from tests.models_for_tests import TINY, loud_model

SAMPLE_RATE = 22_050
_EVERY_S = 0.25
# From the second tenth of a run to its last; smaller changes are random.
_MAX_MEMORY_GROWTH, _MAX_HANDLE_GROWTH, _MAX_SLOWDOWN = 60e6, 3, 0.35


@dataclass(frozen=True)
class ProcessState:
    """Resources and progress of the process at one time."""

    after_s: float
    cpu_s: float
    rss_bytes: int
    handles: int
    done: float  # files, or seconds of audio written


@dataclass(frozen=True)
class SoakResult:
    """Measurements of a run.

    Attributes:
        name: what ran.
        elapsed_s: wall time, for `audio_s` seconds of audio.
        early_bytes, late_bytes: median memory in the second tenth and in the last.
        peak_bytes: the highest measured memory.
        early_handles, late_handles: median number of open files, likewise.
        early_speed, late_speed: files or seconds of audio per second of CPU time, in the first
            half after warm-up and in the second.
    """

    name: str
    elapsed_s: float
    audio_s: float
    early_bytes: int
    late_bytes: int
    peak_bytes: int
    early_handles: int
    late_handles: int
    early_speed: float
    late_speed: float

    def problems(self) -> list[str]:
        """Return a message for each measurement that has changed."""
        problems = []
        if self.late_bytes - self.early_bytes > _MAX_MEMORY_GROWTH:
            grown = (self.late_bytes - self.early_bytes) / 1e6
            problems.append(f"{self.name}: memory grew by {grown:.0f} MB")
        if self.late_handles - self.early_handles > _MAX_HANDLE_GROWTH:
            problems.append(
                f"{self.name}: {self.late_handles - self.early_handles} more open handles"
            )
        if self.late_speed < (1 - _MAX_SLOWDOWN) * self.early_speed:
            problems.append(
                f"{self.name}: speed fell from {self.early_speed:.3g} to {self.late_speed:.3g}"
            )
        return problems

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.audio_s:.0f} s of audio in {self.elapsed_s:.0f} s "
            f"({self.audio_s / self.elapsed_s:.1f} x real time); memory "
            f"{self.early_bytes / 1e6:.0f} -> {self.late_bytes / 1e6:.0f} MB "
            f"(peak {self.peak_bytes / 1e6:.0f}); handles "
            f"{self.early_handles} -> {self.late_handles}; "
            f"speed {self.early_speed:.3g} -> {self.late_speed:.3g} per CPU second"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both tests, print the measurements and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--hours", type=float, default=3.0)
    parser.add_argument("--model", choices=("default", "v2", "tiny"), default="default")
    parser.add_argument("--json", type=Path, help="write the measurements to this file")
    parsed = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options: list[str] = []
        if parsed.model != "default":  # random weights
            config = PRESETS["v2"].generator if parsed.model == "v2" else TINY
            write_model(folder / "model.safetensors", loud_model(config))
            options = ["-m", str(folder / "model.safetensors")]
        results = [resynthesize_folder(folder, parsed.files, options)] if parsed.files else []
        results += [resynthesize_long_file(folder, parsed.hours, options)] if parsed.hours else []
    problems = [problem for result in results for problem in result.problems()]
    print("\n".join([*map(str, results), *problems]))
    if parsed.json:
        parsed.json.write_text(json.dumps([asdict(result) for result in results], indent=1))
    return 1 if problems else 0


def resynthesize_folder(folder: Path, files: int, options: Sequence[str]) -> SoakResult:
    """Resynthesize a folder of short recordings of different lengths."""
    source, out = folder / "in", folder / "out"
    source.mkdir()
    lengths_s = np.random.default_rng(0).uniform(0.3, 3.0, 40)
    for index, length_s in enumerate(lengths_s):
        soundfile.write(source / f"{index:05}.wav", speech(length_s, seed=index), SAMPLE_RATE)
    for index in range(len(lengths_s), files):
        os.link(source / f"{index % len(lengths_s):05}.wav", source / f"{index:05}.wav")
    for index in range(files, len(lengths_s)):
        (source / f"{index:05}.wav").unlink()
    audio_s = sum(soundfile.info(path).duration for path in source.iterdir())

    def done() -> float:
        return float(sum(1 for _ in out.glob("*.wav"))) if out.is_dir() else 0.0

    states = run_and_measure(["resynth", str(source), "-o", str(out), "--quiet", *options], done)
    assert done() == files, f"{done():.0f} of {files} files were written"
    return summarize(f"{files} files", states, audio_s)


def resynthesize_long_file(folder: Path, hours: float, options: Sequence[str]) -> SoakResult:
    """Resynthesize one recording of some hours."""
    source, out = folder / "long.flac", folder / "long.wav"
    recording = np.concatenate([speech(20.0, seed=seed) for seed in range(3)])
    frames = round(hours * 3600 * SAMPLE_RATE)
    with soundfile.SoundFile(source, "w", SAMPLE_RATE, 1, "PCM_16", format="FLAC") as file:
        for start in range(0, frames, len(recording)):
            file.write(recording[: frames - start])

    def done() -> float:
        outputs = [
            *folder.glob(".*long.wav.tmp"),
            *folder.glob("long.wav"),
        ]
        return outputs[0].stat().st_size / 2 / SAMPLE_RATE if outputs else 0.0

    states = run_and_measure(["resynth", str(source), "-o", str(out), "--quiet", *options], done)
    assert soundfile.info(out).frames == frames
    return summarize(f"{hours:g} hours", states, hours * 3600)


def run_and_measure(arguments: Sequence[str], done: Callable[[], float]) -> list[ProcessState]:
    """Run a command and measure the process until it ends."""
    states: list[ProcessState] = []
    with subprocess.Popen([*HIFIGAN, *arguments], env=environment()) as run:
        started = time.monotonic()
        while run.poll() is None:
            try:
                states.append(_process_state(run.pid, time.monotonic() - started, done()))
            except (OSError, IndexError):  # the process has ended or has renamed its file
                continue
            time.sleep(_EVERY_S)
    if run.returncode:
        sys.exit(run.returncode)
    return states


def _process_state(pid: int, after_s: float, done: float) -> ProcessState:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    handles = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    # The name, in parentheses, may contain spaces; fields 14 and 15 are user and system time.
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    cpu_s = sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
    return ProcessState(after_s, cpu_s, pages * os.sysconf("SC_PAGE_SIZE"), handles, done)


def summarize(name: str, states: Sequence[ProcessState], audio_s: float) -> SoakResult:
    """Compare the second tenth of a run with its end."""
    elapsed_s = states[-1].after_s
    active = [state for state in states if state.done > 0]
    if len(active) < 10:
        raise SystemExit(f"{name}: the run was too short to measure ({elapsed_s:.1f} s)")
    tenth = max(1, len(active) // 10)
    early, late = active[tenth : 2 * tenth + 1], active[-tenth:]
    half = active[len(active) // 2]
    first, last = active[tenth], active[-1]
    return SoakResult(
        name,
        elapsed_s,
        audio_s,
        _median([state.rss_bytes for state in early]),
        _median([state.rss_bytes for state in late]),
        max(state.rss_bytes for state in states),
        _median([state.handles for state in early]),
        _median([state.handles for state in late]),
        (half.done - first.done) / max(half.cpu_s - first.cpu_s, 1e-9),
        (last.done - half.done) / max(last.cpu_s - half.cpu_s, 1e-9),
    )


def _median(values: Sequence[int] | npt.NDArray[np.int64]) -> int:
    return int(np.median(values))


if __name__ == "__main__":
    sys.exit(main())
