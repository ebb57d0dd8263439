"""Helpers for all tests: the command line in a subprocess, and synthetic speech."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tests import forkserver

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[1]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a command: one thread, no colors, no inherited HIFIGAN_*."""
    inherited = {key: v for key, v in os.environ.items() if not key.startswith("HIFIGAN_")}
    defaults = {"NO_COLOR": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return {**inherited, **defaults, **(extra or {})}


def hifigan_bytes(
    *arguments: str | bytes | Path,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float = 120,
) -> subprocess.CompletedProcess[bytes]:
    """Run `hifigan` in a subprocess; stdin and both outputs are bytes.

    The HIFIGAN_* variables of the caller are removed, and `env` is added.
    """
    return forkserver.run(
        forkserver.HIFIGAN,
        arguments,
        environment(env),
        stdin=stdin or b"",
        cwd=cwd,
        timeout_s=timeout_s,
    )


def hifigan(
    *arguments: str | bytes | Path,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run `hifigan` in a subprocess; both outputs are text."""
    run = hifigan_bytes(*arguments, stdin=stdin, env=env, cwd=cwd, timeout_s=timeout_s)
    out, err = (part.decode(errors="backslashreplace") for part in (run.stdout, run.stderr))
    return subprocess.CompletedProcess(run.args, run.returncode, out, err)


def speech(length_s: float, sample_rate: int = 22_050, seed: int = 0) -> npt.NDArray[np.float32]:
    """Generate synthetic speech `(samples,)` with peak 0.5.

    It has syllables of harmonics of a gliding pitch with three formants, and noise between them.
    """
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(length_s * sample_rate)) / sample_rate
    pitch_hz = rng.uniform(100, 200) * (
        1 + 0.2 * np.sin(2 * np.pi * rng.uniform(0.3, 0.8) * time_s)
    )
    phase = 2 * np.pi * np.cumsum(pitch_hz) / sample_rate
    formants_hz = rng.uniform([300, 1000, 2200], [800, 2000, 3200])
    voiced = np.zeros_like(time_s)
    for harmonic in range(1, 40):
        hz = harmonic * pitch_hz
        level = sum(np.exp(-(((hz - formant) / 200) ** 2)) for formant in formants_hz) + 0.01
        voiced += np.where(hz < 0.45 * sample_rate, level, 0) * np.sin(harmonic * phase)
    syllables = np.clip(np.sin(2 * np.pi * 4 * time_s + rng.uniform(0, 6)), 0, 1)
    sound = voiced * syllables + 0.05 * rng.standard_normal(len(time_s)) * (1.1 - syllables)
    return np.asarray(0.5 * sound / np.max(np.abs(sound), initial=1e-9), np.float32)
