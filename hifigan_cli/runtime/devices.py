"""Select the device that the networks run on."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hifigan_cli.errors import DeviceError, UsageError

if TYPE_CHECKING:
    import torch

# A usable GPU on Linux has one of these: NVIDIA, NVIDIA, Windows Subsystem for Linux, AMD.
_GPU_FILES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")


def resolve_device_name(name: str) -> str:
    """Return the name of the device of `resolve_device`; load torch only if it may be a GPU.

    Raises:
        UsageError: `name` is not the name of a device.
        DeviceError: this machine, or this build of torch, does not have the device.
    """
    on_linux = sys.platform == "linux"
    without_gpu = on_linux and not any(Path(path).exists() for path in _GPU_FILES)
    if name == "cpu" or (name == "auto" and without_gpu):
        return "cpu"
    return str(resolve_device(name))


def resolve_device(name: str) -> torch.device:
    """Return the device for a name: auto, cpu, cuda, cuda:N or mps.

    `auto` selects the first that works of CUDA, Apple's MPS and the CPU.

    Raises:
        UsageError: `name` is not the name of a device.
        DeviceError: this machine, or this build of torch, does not have the device.
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
        raise DeviceError("this machine has no MPS device", "use --device auto")
    if not name.startswith("cuda"):
        return torch.device(name)
    if not gpus:
        raise DeviceError(
            f"no CUDA device for {name}",
            "use --device auto; `hifigan doctor` shows which devices torch finds",
        )
    index = int(name.partition(":")[2] or 0)
    if index >= gpus:
        raise DeviceError(f"no CUDA device {index}: this machine has {gpus}", "--gpu starts at 0")
    return torch.device("cuda", index)


def emulates_bfloat16(device: torch.device) -> bool:
    """Return whether a GPU is too old for bfloat16 and would emulate it, many times slower."""
    import torch

    if device.type != "cuda":
        return False
    with torch.cuda.device(device):
        return not torch.cuda.is_bf16_supported(including_emulation=False)


def describe_device(device: torch.device | str) -> str:
    """Return a device's name and model: `cuda:0 (NVIDIA H200)`."""
    name = str(device)
    if not name.startswith("cuda"):
        return name
    import torch

    return f"{name} ({torch.cuda.get_device_name(device)})"
