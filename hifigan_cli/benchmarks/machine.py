"""Describe this machine: its processor, its software and its peak speed."""

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

from hifigan_cli.runtime.environment import cpu_name

if TYPE_CHECKING:
    from collections.abc import Callable

_PACKAGES = ("hifigan-cli", "torch", "onnxruntime", "numpy")
# torch's types by precision. int16 is missing, because torch has no fast product of it.
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# Square matrices for measuring the peak. A CPU without bfloat16 would take a minute for 2048.
_MAX_MATRIX_SIZE = {"cpu": 2048, "cuda": 8192}
_MIN_MATRIX_SIZE, _MAX_MATMUL_S = 256, 0.25
_CONV_CHANNELS, _CONV_KERNEL_SIZE, _CONV_LENGTH = 256, 7, 8192


@dataclass(frozen=True)
class Machine:
    """A processor, its software and its load.

    Attributes:
        processor: the name of the processor.
        cores: the number of cores that the system reports.
        load: the mean number of running processes in the minute before measuring.
        versions: versions of Python and of the numerical packages.
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
    return Machine(cpu_name(), os.cpu_count() or 1, round(os.getloadavg()[0], 2), versions)


class PeakSpeed:
    """The highest measured speed of the device in one precision.

    The workload is a product of square matrices, and on the CPU also a convolution. There they use
    different libraries, and on AMD processors the matrix library leaves half of the vector unit
    unused. On CUDA, `tf32` rounds float32 products to TF32, as torch does by default in
    convolutions.
    """

    def __init__(self, device: torch.device, precision: str, *, tf32: bool = False) -> None:
        dtype = DTYPES[precision]
        size = _matrix_size(device, dtype)
        matrix = torch.randn(size, size, device=device).to(dtype)
        self._workloads: list[tuple[Callable[[], object], float]] = [
            (lambda: matrix @ matrix, 2.0 * size**3)
        ]
        if device.type == "cpu":
            channels, kernel, length = _CONV_CHANNELS, _CONV_KERNEL_SIZE, _CONV_LENGTH
            layout = torch.channels_last
            signal = torch.randn(1, channels, 1, length).to(dtype, memory_format=layout)
            weight = torch.randn(channels, channels, 1, kernel).to(dtype, memory_format=layout)
            flop = 2.0 * channels**2 * kernel * (length - kernel + 1)
            self._workloads.append((lambda: torch.conv2d(signal, weight), flop))
        self._device = device
        self._tf32 = tf32 and device.type == "cuda"
        self.flop_per_s = 0.0

    @torch.no_grad()
    def measure(self) -> None:
        """Run the workloads once, and update the peak."""
        matmul = torch.backends.cuda.matmul
        before = matmul.fp32_precision
        if self._tf32:
            matmul.fp32_precision = "tf32"
        try:
            for workload, flop in self._workloads:
                elapsed_s = measure_seconds(workload, self._device)
                self.flop_per_s = max(self.flop_per_s, flop / elapsed_s)
        finally:
            if self._tf32:
                matmul.fp32_precision = before


@torch.no_grad()
def _matrix_size(device: torch.device, dtype: torch.dtype) -> int:
    """Return a matrix size whose product is fast enough on this device."""
    size, largest = _MIN_MATRIX_SIZE, _MAX_MATRIX_SIZE.get(device.type, _MAX_MATRIX_SIZE["cpu"])
    while size < largest:
        matrix = torch.randn(size, size, device=device).to(dtype)
        torch.mm(matrix, matrix)  # the first call may load the library
        elapsed_s = measure_seconds(partial(torch.mm, matrix, matrix), device)
        if 8 * elapsed_s > _MAX_MATMUL_S:  # twice the size is eight times the work
            break
        size *= 2
    return size


def measure_seconds(run: Callable[[], object], device: torch.device, repeats: int = 1) -> float:
    """Return the mean time of repeated calls on a device, without a pause between them."""
    synchronize(device)
    started = time.perf_counter()
    for _ in range(repeats):
        run()
    synchronize(device)
    return (time.perf_counter() - started) / repeats


def track_gpu_memory(device: torch.device) -> Callable[[], float | None]:
    """Return a function that returns torch's peak allocation since this call, in 10^6 bytes.

    Memory that was allocated before does not count. The function returns None without CUDA.
    """
    if device.type != "cuda":
        return lambda: None
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    return lambda: float(torch.cuda.max_memory_allocated(device) - before) / 1e6


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
