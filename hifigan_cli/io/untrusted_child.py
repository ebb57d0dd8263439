"""The process that reads untrusted files for `untrusted`, within limits of memory and time.

Only tensors and plain values are unpickled; a file that requests another class or function is
rejected. In case a parser still has a flaw, the process has little memory and time, no core dump,
and no data except its batch.
"""

from __future__ import annotations

import collections
import json
import pickle
import resource
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy._core import multiarray

from hifigan_cli.io.untrusted import CONTENT, REFUSAL, TENSOR_KEY, TENSORS

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

# Memory after importing torch, and per byte of the file: it is in memory as bytes, as tensors, and
# once more when it is written.
_BASE_BYTES, _PER_BYTE = 2 << 30, 4
_CPU_S = 300
# State that only training needs; it takes most of the space of many checkpoints.
_LOOPS = "callbacks loops optimizer_states optimizers lr_schedulers schedulers scheduler"
_TRAINING_KEYS = frozenset(f"{_LOOPS} optimizer optim_d optim_g scaler scaler_d scaler_g".split())


def main() -> None:
    """Read `[KIND, [[FILE, FOLDER], ...]]` from standard input; read each file into its folder."""
    kind, files = json.load(sys.stdin)
    paths = [Path(path) for path, _ in files]
    sizes = [path.stat().st_size if path.exists() else 0 for path in paths]
    for (path, folder), size in zip(files, sizes, strict=True):
        _limit(size, max(sizes), len(sizes))
        try:
            _write(Path(folder), READERS[kind](Path(path)))
        except Exception as error:  # noqa: BLE001 - a damaged file may raise anything
            reason = _reason(str(error).strip() or type(error).__name__)
            Path(folder, REFUSAL).write_text(reason, "utf-8")


def _limit(size: int, largest: int, files: int) -> None:
    """Set soft limits for a file of `size` bytes and hard limits for the batch."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = int(used.ru_utime + used.ru_stime) + _CPU_S
    for name, soft, hard in (
        (resource.RLIMIT_DATA, _BASE_BYTES + _PER_BYTE * size, _BASE_BYTES + _PER_BYTE * largest),
        (resource.RLIMIT_FSIZE, _PER_BYTE * size + (64 << 20), _PER_BYTE * largest + (64 << 20)),
        (resource.RLIMIT_CPU, cpu_s, _CPU_S * (files + 1)),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        try:
            now = resource.getrlimit(name)[1]
            hard = hard if now == resource.RLIM_INFINITY else min(hard, now)
            resource.setrlimit(name, (min(soft, hard), hard))
        except (ValueError, OSError):  # the system lacks this limit
            continue


def _reason(text: str) -> str:
    """Cut the advice that torch adds: it proposes to trust the file."""
    for start in ("WeightsUnpickler error:", "Trying to load"):
        _, match, after = text.partition(start)
        if match:
            text = after if start.endswith(":") else match + after
    line = text.strip().partition("\n")[0]
    for advice in (". Please use", ". In PyTorch 2.6"):
        line = line.partition(advice)[0]
    return line[:200]


def _torch(path: Path) -> Any:
    """Load a PyTorch file; accept numpy numbers too, because many tools store them."""
    import torch  # takes seconds, and other kinds of files do not need it

    types = {type(np.dtype(name)) for name in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "?")}
    allowed: list[Any] = [np.ndarray, np.dtype, collections.defaultdict, *types]
    for name in ("scalar", "_reconstruct"):
        function = getattr(multiarray, name)
        allowed += [(function, f"numpy.{core}.multiarray.{name}") for core in ("core", "_core")]
    with torch.serialization.safe_globals(allowed):
        return torch.load(path, map_location="cpu", weights_only=True)


def _mel(path: Path) -> dict[str, torch.Tensor]:
    """Load the tensors of a PyTorch file by name, in float32; an unnamed one is the mel."""
    content = _torch(path)
    named = content if isinstance(content, dict) else {"mel": content}
    tensors = {str(k): v.detach() for k, v in named.items() if _is_tensor(v)}
    for name, value in tensors.items():
        # With strides of zero a small file can declare a tensor of any size.
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise ValueError(f"{name} declares more numbers than it stores")
    return {name: value.float() for name, value in tensors.items()}


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickle only arrays, numbers and plain containers."""

    _ALLOWED = frozenset(
        (f"numpy.{core}.multiarray", name)
        for core in ("core", "_core")
        for name in ("_reconstruct", "scalar")
    ) | {("numpy", "ndarray"), ("numpy", "dtype")}

    def find_class(self, module: str, name: str) -> Any:
        """Return a class or function that a pickle names, if it is allowed."""
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"it requests {module}.{name}")
        return super().find_class(module, name)


def _numpy(path: Path) -> Any:
    """Read .npy or .npz; unpack an array of one object, such as a dict of statistics."""
    with path.open("rb") as stream:
        if stream.read(4) == b"PK\x03\x04":
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        stream.seek(0)
        return _npy(stream)


def _npy(stream: IO[bytes]) -> Any:
    version = np.lib.format.read_magic(stream)
    reader = {(1, 0): np.lib.format.read_array_header_1_0}.get(
        version, np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = reader(stream)
    if not dtype.hasobject:
        stream.seek(0)
        return np.load(stream, allow_pickle=False)
    loaded = _ArrayUnpickler(stream).load()
    return loaded.item() if isinstance(loaded, np.ndarray) and shape == () else loaded


def _hdf5(path: Path) -> Any:
    """Read the top-level data sets of an HDF5 file."""
    import h5py

    with h5py.File(path, "r") as file:
        return {name: item[()] for name, item in file.items() if isinstance(item, h5py.Dataset)}


# The reader of each kind of file, by the name that the parent sends.
READERS: dict[str, Callable[[Path], Any]] = {
    "torch": _torch,
    "mel": _mel,
    "numpy": _numpy,
    "hdf5": _hdf5,
}


def _write(folder: Path, content: object) -> None:
    """Write content as safetensors and JSON; the JSON is last, so it marks both as complete."""
    tensors: dict[str, Any] = {}
    encoded = json.dumps(_encode(content, tensors))
    if any(_is_tensor(tensor) for tensor in tensors.values()):
        import torch
        from safetensors.torch import save_file

        tensors = {name: torch.as_tensor(tensor) for name, tensor in tensors.items()}
    else:
        from safetensors.numpy import save_file  # type: ignore[assignment]  # arrays, not tensors
    save_file(tensors, folder / TENSORS)
    (folder / CONTENT).write_text(encoded, "utf-8")


def _is_tensor(value: object) -> bool:
    torch: Any = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _encode(value: Any, tensors: dict[str, Any]) -> Any:
    """Return plain values for JSON; move tensors to `tensors` and omit the state of training."""
    plain = None
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        plain = np.array(value, value.dtype.newbyteorder("="), order="C")  # it may be a view
    elif _is_tensor(value):
        plain = value.detach().to_dense().contiguous().clone()
    if plain is not None:
        name = f"t{len(tensors)}"
        tensors[name] = plain
        return {TENSOR_KEY: name}
    if isinstance(value, dict):
        items = {str(key): item for key, item in value.items() if key not in _TRAINING_KEYS}
        return {key: _encode(item, tensors) for key, item in items.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_encode(item, tensors) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return f"<{type(value).__name__}>"  # not a plain value; no importer uses it
