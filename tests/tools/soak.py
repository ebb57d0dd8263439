"""Does a long run stay as it began: memory, file handles, throughput.

    python -m tests.tools.soak [--files 2000] [--hours 3] [--model default] [--json FILE]

First so many short recordings go through folder resynth, then one recording of so many hours. Four
times a second the process is looked at from outside; the first tenth of a run warms up, and the
rest must not grow. Speed is work a second of the processor's time: others may use the machine as
well. Exit 1 if anything did not stay as it was.
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
# Growth from the second tenth of a run to its last that is chance.
_MORE_BYTES, _MORE_HANDLES, _SLOWER = 60e6, 3, 0.35


@dataclass(frozen=True)
class Look:
    """A process at one moment."""

    after_s: float
    cpu_s: float
    resident_bytes: int
    handles: int
    done: float  # files, or seconds of sound written


@dataclass(frozen=True)
class Soak:
    """What a run came to.

    Attributes:
        name: what ran.
        took_s: its time, in which `audio_s` seconds of sound were made.
        early_bytes, late_bytes: median memory of its second tenth and of its last.
        peak_bytes: the most memory that was seen.
        early_handles, late_handles: likewise, open files.
        early_speed, late_speed: work (files, seconds of sound) a second of processor time, in the
            first half after warming up, and in the last.
    """

    name: str
    took_s: float
    audio_s: float
    early_bytes: int
    late_bytes: int
    peak_bytes: int
    early_handles: int
    late_handles: int
    early_speed: float
    late_speed: float

    def faults(self) -> list[str]:
        """Say what did not stay as it was."""
        said = []
        if self.late_bytes - self.early_bytes > _MORE_BYTES:
            grown = (self.late_bytes - self.early_bytes) / 1e6
            said.append(f"{self.name}: memory grew by {grown:.0f} MB")
        if self.late_handles - self.early_handles > _MORE_HANDLES:
            said.append(f"{self.name}: {self.late_handles - self.early_handles} handles more")
        if self.late_speed < (1 - _SLOWER) * self.early_speed:
            said.append(f"{self.name}: fell from {self.early_speed:.3g} to {self.late_speed:.3g}")
        return said

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.audio_s:.0f} s of sound in {self.took_s:.0f} s "
            f"({self.audio_s / self.took_s:.1f} x real time); memory "
            f"{self.early_bytes / 1e6:.0f} -> {self.late_bytes / 1e6:.0f} MB "
            f"(peak {self.peak_bytes / 1e6:.0f}); handles "
            f"{self.early_handles} -> {self.late_handles}; "
            f"work {self.early_speed:.3g} -> {self.late_speed:.3g} a CPU second"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both, print figures, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--hours", type=float, default=3.0)
    parser.add_argument("--model", choices=("default", "v2", "tiny"), default="default")
    parser.add_argument("--json", type=Path, help="write the figures there")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options: list[str] = []
        if chosen.model != "default":  # random weights
            config = PRESETS["v2"].generator if chosen.model == "v2" else TINY
            write_model(folder / "model.safetensors", loud_model(config))
            options = ["-m", str(folder / "model.safetensors")]
        soaks = [many(folder, chosen.files, options)] if chosen.files else []
        soaks += [long(folder, chosen.hours, options)] if chosen.hours else []
    faults = [fault for soak in soaks for fault in soak.faults()]
    print("\n".join([*map(str, soaks), *faults]))
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(soak) for soak in soaks], indent=1))
    return 1 if faults else 0


def many(folder: Path, files: int, options: Sequence[str]) -> Soak:
    """Send many short recordings of different lengths through folder resynth."""
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

    looks = watch(["resynth", str(source), "-o", str(out), "--quiet", *options], done)
    assert done() == files, f"{done():.0f} of {files} files were made"
    return judged(f"{files} files", looks, audio_s)


def long(folder: Path, hours: float, options: Sequence[str]) -> Soak:
    """Send one recording of hours through resynth."""
    source, out = folder / "long.flac", folder / "long.wav"
    piece = np.concatenate([speech(20.0, seed=seed) for seed in range(3)])
    frames = round(hours * 3600 * SAMPLE_RATE)
    with soundfile.SoundFile(source, "w", SAMPLE_RATE, 1, "PCM_16", format="FLAC") as file:
        for start in range(0, frames, len(piece)):
            file.write(piece[: frames - start])

    def done() -> float:
        found = [*folder.glob(".*long.wav.tmp"), *folder.glob("long.wav")]
        return found[0].stat().st_size / 2 / SAMPLE_RATE if found else 0.0

    looks = watch(["resynth", str(source), "-o", str(out), "--quiet", *options], done)
    assert soundfile.info(out).frames == frames
    return judged(f"{hours:g} hours", looks, hours * 3600)


def watch(words: Sequence[str], done: Callable[[], float]) -> list[Look]:
    """Run a command, and look at it now and then until it ends."""
    looks: list[Look] = []
    with subprocess.Popen([*HIFIGAN, *words], env=environment()) as run:
        started = time.monotonic()
        while run.poll() is None:
            try:
                looks.append(_look(run.pid, time.monotonic() - started, done()))
            except (OSError, IndexError):  # it has just ended, or renamed its file
                continue
            time.sleep(_EVERY_S)
    if run.returncode:
        sys.exit(run.returncode)
    return looks


def _look(pid: int, after_s: float, done: float) -> Look:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    handles = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    # The name, in brackets, may hold spaces; user and system time are 14 and 15.
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    cpu_s = sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
    return Look(after_s, cpu_s, pages * os.sysconf("SC_PAGE_SIZE"), handles, done)


def judged(name: str, looks: Sequence[Look], audio_s: float) -> Soak:
    """Compare the beginning of a run, after its first tenth, with its end."""
    took_s = looks[-1].after_s
    working = [look for look in looks if look.done > 0]
    if len(working) < 10:
        raise SystemExit(f"{name}: too short a run to tell, {took_s:.1f} s")
    tenth = max(1, len(working) // 10)
    early, late = working[tenth : 2 * tenth + 1], working[-tenth:]
    half = working[len(working) // 2]
    first, last = working[tenth], working[-1]
    return Soak(
        name,
        took_s,
        audio_s,
        _median([look.resident_bytes for look in early]),
        _median([look.resident_bytes for look in late]),
        max(look.resident_bytes for look in looks),
        _median([look.handles for look in early]),
        _median([look.handles for look in late]),
        (half.done - first.done) / max(half.cpu_s - first.cpu_s, 1e-9),
        (last.done - half.done) / max(last.cpu_s - half.cpu_s, 1e-9),
    )


def _median(values: Sequence[int] | npt.NDArray[np.int64]) -> int:
    return int(np.median(values))


if __name__ == "__main__":
    sys.exit(main())
