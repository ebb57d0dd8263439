"""How much memory synthesis takes.

A process never gives back all that it took, so that a second measurement in it would find the
room that the first one made: on the CPU each measurement has a process of its own. On CUDA torch
counts what it takes of the device.
"""

from __future__ import annotations

import re
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from hifigan_cli.benchmarks.contenders import PLAIN, make_synthesis

if TYPE_CHECKING:
    from hifigan_cli.benchmarks.contenders import Contender
    from hifigan_cli.types import FloatArray

_STATUS = Path("/proc/self/status")
# What an engine stands on: importing it is not the engine's doing.
_LIBRARIES = {PLAIN: ("torch",), "torch": ("torch",), "onnx": ("onnx", "onnxruntime"), "native": ()}


def memory_mb(
    contender: Contender, model: Path, mel: FloatArray, threads: int, device: str = "cpu"
) -> float | None:
    """Measure the peak memory of reading a model file and synthesizing from a mel, in 10^6 bytes.

    On the CPU: above what a process has after importing the engine's libraries. On CUDA: what torch
    allocates of the device. None where the system does not report it (only Linux does).
    """
    if device.startswith("cuda"):
        return _cuda_memory_mb(contender, model, mel, threads, device)
    if not _STATUS.exists():
        return None
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        return fresh.submit(_measure, contender, model, mel, threads).result()


def _cuda_memory_mb(
    contender: Contender, path: Path, mel: FloatArray, threads: int, device: str
) -> float:
    """Measure a new engine, next to whatever other engines of this process hold."""
    import torch

    from hifigan_cli.models.model_file import read_model

    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    synthesize = make_synthesis(contender, read_model(path), threads, device)
    for _ in range(2):  # the second call of a shape records a graph, which holds memory too
        synthesize(mel)
    return (torch.cuda.max_memory_allocated(device) - before) / 1e6


def _measure(contender: Contender, path: Path, mel: FloatArray, threads: int) -> float:
    from hifigan_cli.models.model_file import read_model

    for library in _LIBRARIES[contender.engine]:
        import_module(library)
    before = _kilobytes("VmRSS")
    make_synthesis(contender, read_model(path), threads)(mel)
    return (_kilobytes("VmHWM") - before) * 1024 / 1e6


def _kilobytes(field: str) -> int:
    found = re.search(rf"^{field}:\s*(\d+) kB", _STATUS.read_text("utf-8"), re.MULTILINE)
    return int(found.group(1)) if found else 0
