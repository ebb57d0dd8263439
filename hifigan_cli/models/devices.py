"""Which device the networks run on."""

from __future__ import annotations

import re

import torch

from hifigan_cli.errors import DeviceError, UsageError


def resolve_device(name: str) -> torch.device:
    """Return the device that a name asks for: auto, cpu, cuda, cuda:N or mps.

    `auto` takes CUDA where it works, else Apple's MPS, else the CPU.

    Raises:
        UsageError: not the name of a device.
        DeviceError: this machine, or this torch, has no such device.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise UsageError(f"unknown device {name!r}", "one of: auto, cpu, cuda, cuda:N, mps")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu"
    if name.startswith("cuda"):
        return _cuda(name)
    if name == "mps" and not _has_mps():
        raise DeviceError("this machine has no MPS device", "--device auto takes what there is")
    return torch.device(name)


def _cuda(name: str) -> torch.device:
    index = int(name.partition(":")[2] or 0)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise DeviceError(
            f"no CUDA device for {name}",
            "--device auto takes what there is; `hifigan doctor` says what torch sees",
        )
    if index >= count:
        raise DeviceError(
            f"no CUDA device {index}: this machine has {count}", "--gpu counts from 0"
        )
    return torch.device("cuda", index)


def _has_mps() -> bool:
    return torch.backends.mps.is_available()


def device_title(device: torch.device) -> str:
    """Name a device for people: `cuda:0 (NVIDIA H200)`."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return str(device)
