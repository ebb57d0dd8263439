"""Tensors and plain values as two files that cannot run code: safetensors, and JSON beside it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    import torch

CONTENT, TENSORS = "content.json", "tensors.safetensors"
REFUSED, REFUSAL = 3, "refusal.txt"  # the exit status of who read it, and where the reason is
_REFERENCE = "$tensor"
# What training needs and a model does not; it is most of many checkpoints.
_LEFT_OUT = frozenset(
    {
        "callbacks",
        "loops",
        "lr_schedulers",
        "optim_d",
        "optim_g",
        "optimizer",
        "optimizer_states",
        "optimizers",
        "scaler",
        "scaler_d",
        "scaler_g",
        "scheduler",
        "schedulers",
    }
)


def write_plain(folder: Path, content: object) -> None:
    """Write what was read into a folder; optimizer states are left out."""
    import safetensors.torch

    tensors: dict[str, torch.Tensor] = {}
    encoded = _encode(content, tensors)
    safetensors.torch.save_file(tensors, folder / TENSORS)
    (folder / CONTENT).write_text(json.dumps(encoded), "utf-8")


def read_plain(folder: Path, *, arrays: bool = False) -> Any:
    """Read what `write_plain` wrote: its tensors as such, or as numpy's `arrays` without torch.

    Raises:
        ValueError: the two files do not belong together.
    """
    if arrays:
        from safetensors.numpy import load_file
    else:
        from safetensors.torch import load_file  # type: ignore[assignment]  # tensors, not arrays
    tensors: dict[str, Any] = dict(load_file(folder / TENSORS))
    return _decode(json.loads((folder / CONTENT).read_text("utf-8")), tensors)


def _encode(value: object, tensors: dict[str, torch.Tensor]) -> Any:
    import torch

    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        value = torch.from_numpy(np.array(value))  # a copy: it may be a view of anything
    if isinstance(value, torch.Tensor):
        name = f"t{len(tensors)}"
        tensors[name] = value.detach().to_dense().contiguous().clone()
        return {_REFERENCE: name}
    if isinstance(value, dict):
        kept = {str(key): each for key, each in value.items() if key not in _LEFT_OUT}
        return {key: _encode(each, tensors) for key, each in kept.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_encode(each, tensors) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return f"<{type(value).__name__}>"  # no plain value; no importer has use for it


def _decode(value: Any, tensors: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_decode(each, tensors) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {_REFERENCE}:
        name = value[_REFERENCE]
        if not isinstance(name, str) or name not in tensors:
            raise ValueError("a tensor is missing")
        return tensors[name]
    return {key: _decode(each, tensors) for key, each in value.items()}
