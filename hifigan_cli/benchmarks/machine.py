"""The machine that measures: its processor and software, and the highest speed it reaches."""

from __future__ import annotations

import os
import platform
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import torch

from hifigan_cli.runtime.environment import processor

if TYPE_CHECKING:
    from collections.abc import Callable

_PACKAGES = ("hifigan-cli", "torch", "onnxruntime", "numpy")
# torch's types by precision; it has no fast product of 16-bit integers to measure.
FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_SIDE = {"cpu": 2048, "cuda": 8192}  # of the square matrices that the peak is measured with
_FIRST_SIDE, _LONGEST_S = 256, 0.25  # a CPU without bfloat16 would take a minute for 2048
_CONVOLUTION = 256, 7, 8192  # channels, kernel size and length


@dataclass(frozen=True)
class Machine:
    """A processor, the software on it, and its load.

    Attributes:
        processor: its name.
        cores: that the system sees.
        load: the mean number of running processes in the minute before measuring.
        versions: of Python and of the packages that compute.
    """

    processor: str
    cores: int
    load: float
    versions: dict[str, str]


def describe_machine() -> Machine:
    """Describe this machine as it is now."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return Machine(processor(), os.cpu_count() or 1, round(os.getloadavg()[0], 2), versions)


class Peak:
    """The highest speed at which the device was seen to compute in one precision.

    It computes a product of square matrices, and on the CPU also a convolution. These come from
    different libraries there, and on AMD's processors the one for matrices leaves half of the
    vector unit unused. On CUDA `tf32` allows products of float32 to be rounded to TF32, as torch
    does by default in convolutions.
    """

    def __init__(self, device: torch.device, precision: str, *, tf32: bool = False) -> None:
        dtype = FORMATS[precision]
        side = _side(device, dtype)
        matrix = torch.randn(side, side, device=device).to(dtype)
        self._tasks: list[tuple[Callable[[], object], float]] = [
            (lambda: matrix @ matrix, 2.0 * side**3)
        ]
        if device.type == "cpu":
            channels, kernel, length = _CONVOLUTION
            wide = torch.channels_last
            signal = torch.randn(1, channels, 1, length).to(dtype, memory_format=wide)
            weight = torch.randn(channels, channels, 1, kernel).to(dtype, memory_format=wide)
            flop = 2.0 * channels**2 * kernel * (length - kernel + 1)
            self._tasks.append((lambda: torch.conv2d(signal, weight), flop))
        self._device = device
        self._tf32 = tf32 and device.type == "cuda"
        self.flop_per_s = 0.0

    @torch.no_grad()
    def measure(self) -> None:
        """Compute once more; the best of all is the peak."""
        matmul = torch.backends.cuda.matmul
        before = matmul.fp32_precision
        if self._tf32:
            matmul.fp32_precision = "tf32"
        try:
            for task, flop in self._tasks:
                self.flop_per_s = max(self.flop_per_s, flop / seconds(task, self._device))
        finally:
            if self._tf32:
                matmul.fp32_precision = before


@torch.no_grad()
def _side(device: torch.device, dtype: torch.dtype) -> int:
    """Return a size of matrices whose product does not take long on this device."""
    side, largest = _FIRST_SIDE, _SIDE.get(device.type, _SIDE["cpu"])
    while side < largest:
        matrix = torch.randn(side, side, device=device).to(dtype)
        torch.mm(matrix, matrix)  # the first one may load the library
        took_s = seconds(partial(torch.mm, matrix, matrix), device)
        if 8 * took_s > _LONGEST_S:  # twice the side takes eight times the work
            break
        side *= 2
    return side


def seconds(run: Callable[[], object], device: torch.device, times: int = 1) -> float:
    """Return how long something takes on a device, the mean of several times without a break."""
    synchronize(device)
    started = time.perf_counter()
    for _ in range(times):
        run()
    synchronize(device)
    return (time.perf_counter() - started) / times


def watch_gpu_memory(device: torch.device) -> Callable[[], float | None]:
    """Return a function that returns the most memory that torch has allocated since, in 10^6 bytes.

    Memory that was allocated before does not count. None on other devices than CUDA's.
    """
    if device.type != "cuda":
        return lambda: None
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    return lambda: float(torch.cuda.max_memory_allocated(device) - before) / 1e6


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
