"""Numbers on their way to a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def sent(values: Tensor, device: torch.device) -> Tensor:
    """Bring a tensor to a device without waiting for what the device still has to do.

    A GPU fetches by itself what lies in pinned memory only; for the rest the processor would wait
    until all earlier work is done, at each step. torch keeps pinned memory until it was fetched.
    """
    if device.type == "cuda" and values.device.type == "cpu":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)
