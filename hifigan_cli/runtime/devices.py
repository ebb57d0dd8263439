"""Which device the networks run on."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hifigan_cli.errors import DeviceError, UsageError

if TYPE_CHECKING:
    import torch

# One of them is there where a GPU can be used on Linux: NVIDIA's, Windows' for Linux, AMD's.
_GPU_FILES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")


def find_device(name: str) -> str:
    """Return what `resolve_device` would, by name; torch is loaded only where it could be a GPU.

    Raises:
        UsageError: not the name of a device.
        DeviceError: this machine, or this torch, has no such device.
    """
    on_linux = sys.platform == "linux"
    without_gpu = on_linux and not any(Path(path).exists() for path in _GPU_FILES)
    if name == "cpu" or (name == "auto" and without_gpu):
        return "cpu"
    return str(resolve_device(name))


def resolve_device(name: str) -> torch.device:
    """Return the device that a name asks for: auto, cpu, cuda, cuda:N or mps.

    `auto` takes CUDA where it works, else Apple's MPS, else the CPU.

    Raises:
        UsageError: not the name of a device.
        DeviceError: this machine, or this torch, has no such device.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise UsageError(f"unknown device {name!r}", "one of: auto, cpu, cuda, cuda:N, mps")
    import torch

    if name == "cpu":
        return torch.device(name)
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if gpus else "mps" if mps else "cpu"
    if name == "mps" and not mps:
        raise DeviceError("this machine has no MPS device", "--device auto takes what there is")
    if not name.startswith("cuda"):
        return torch.device(name)
    if not gpus:
        raise DeviceError(
            f"no CUDA device for {name}",
            "--device auto takes what there is; `hifigan doctor` shows what torch sees",
        )
    index = int(name.partition(":")[2] or 0)
    if index >= gpus:
        raise DeviceError(f"no CUDA device {index}: this machine has {gpus}", "--gpu counts from 0")
    return torch.device("cuda", index)


def emulates_bfloat16(device: torch.device) -> bool:
    """Return whether a GPU is too old for bfloat16: it would emulate it, many times slower."""
    import torch

    if device.type != "cuda":
        return False
    with torch.cuda.device(device):
        return not torch.cuda.is_bf16_supported(including_emulation=False)


def device_title(device: torch.device | str) -> str:
    """Name a device for people: `cuda:0 (NVIDIA H200)`."""
    name = str(device)
    if not name.startswith("cuda"):
        return name
    import torch

    return f"{name} ({torch.cuda.get_device_name(device)})"
