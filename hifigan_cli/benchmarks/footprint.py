"""How much memory synthesis takes: each measurement in a process of its own.

A process never gives back all that it took, so that a second measurement in it would find the
room that the first one made.
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
    from hifigan_cli.benchmarks.contenders import Array, Contender

_STATUS = Path("/proc/self/status")
# What an engine stands on: importing it is not the engine's doing.
_LIBRARIES = {PLAIN: ("torch",), "torch": ("torch",), "onnx": ("onnx", "onnxruntime"), "native": ()}


def memory_mb(
    contender: Contender, model: Path, mel: Array, threads: int, device: str = "cpu"
) -> float | None:
    """Measure the peak of a fresh process that reads a model file and synthesises a mel.

    Counted in 10^6 bytes above what it has when its libraries are imported; on CUDA, what torch
    took of the device. None where the system does not tell (it is Linux that does).
    """
    if not (_STATUS.exists() or device.startswith("cuda")):
        return None
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        return fresh.submit(_measure, contender, model, mel, threads, device).result()


def _measure(contender: Contender, path: Path, mel: Array, threads: int, device: str) -> float:
    from hifigan_cli.models.modelfile import read_model

    for library in _LIBRARIES[contender.engine]:
        import_module(library)
    if device.startswith("cuda"):
        import torch

        synthesise = make_synthesis(contender, read_model(path), threads, device)
        for _ in range(2):  # the second call of a shape records a graph, which holds memory too
            synthesise(mel)
        return torch.cuda.max_memory_reserved(device) / 1e6
    before = _kilobytes("VmRSS")
    make_synthesis(contender, read_model(path), threads, device)(mel)
    return (_kilobytes("VmHWM") - before) * 1024 / 1e6


def _kilobytes(field: str) -> int:
    found = re.search(rf"^{field}:\s*(\d+) kB", _STATUS.read_text("utf-8"), re.MULTILINE)
    return int(found.group(1)) if found else 0
