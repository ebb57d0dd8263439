"""The process that reads untrusted files for `untrusted`, within limits of memory and time.

Only tensors and plain values are unpickled; a file that asks for another class or function is
refused. Should a parser have a flaw all the same, the process has little memory, little time, no
core dump, and no data but that of its batch.
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

# Memory of a process that has imported torch; the file is held as bytes, as tensors, and once more
# as it is written.
_BASE_BYTES, _PER_BYTE = 2 << 30, 4
_CPU_S = 300
# What training needs and a model does not; it is most of many checkpoints.
_TRAINING = "callbacks loops optimizer_states optimizers lr_schedulers schedulers scheduler"
_LEFT_OUT = frozenset(f"{_TRAINING} optimizer optim_d optim_g scaler scaler_d scaler_g".split())


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
    """Limit this process to what a file of `size` bytes can need, and for good to its batch."""
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
        except (ValueError, OSError):  # a system without this one
            continue


def _reason(text: str) -> str:
    """Cut the advice that torch adds: to trust the file is not ours to propose."""
    for start in ("WeightsUnpickler error:", "Trying to load"):
        _, found, after = text.partition(start)
        if found:
            text = after if start.endswith(":") else found + after
    line = text.strip().partition("\n")[0]
    for advice in (". Please use", ". In PyTorch 2.6"):
        line = line.partition(advice)[0]
    return line[:200]


def _torch(path: Path) -> Any:
    """Load a PyTorch file; numpy's numbers, which many tools leave in it, are plain values too."""
    import torch  # seconds, which a batch of another kind does without

    kinds = {type(np.dtype(name)) for name in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "?")}
    harmless: list[Any] = [np.ndarray, np.dtype, collections.defaultdict, *kinds]
    for name in ("scalar", "_reconstruct"):
        function = getattr(multiarray, name)
        harmless += [(function, f"numpy.{core}.multiarray.{name}") for core in ("core", "_core")]
    with torch.serialization.safe_globals(harmless):
        return torch.load(path, map_location="cpu", weights_only=True)


def _mel(path: Path) -> dict[str, torch.Tensor]:
    """Load the tensors of a PyTorch file by name, in float32; one that has no name is the mel."""
    content = _torch(path)
    named = content if isinstance(content, dict) else {"mel": content}
    tensors = {str(k): v.detach() for k, v in named.items() if _is_tensor(v)}
    for name, value in tensors.items():
        # With strides of zero a file of bytes claims any size.
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise ValueError(f"{name} claims more numbers than there are")
    return {name: value.float() for name, value in tensors.items()}


class _Arrays(pickle.Unpickler):
    """Unpickles arrays, numbers, and plain containers; refuses all else."""

    _KNOWN = frozenset(
        (f"numpy.{core}.multiarray", name)
        for core in ("core", "_core")
        for name in ("_reconstruct", "scalar")
    ) | {("numpy", "ndarray"), ("numpy", "dtype")}

    def find_class(self, module: str, name: str) -> Any:
        """Return a class or function that a pickle names, if it is one of the few."""
        if (module, name) not in self._KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def _numpy(path: Path) -> Any:
    """Read .npy or .npz; an array of one object, such as a dict of statistics, is unpacked."""
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
    found = _Arrays(stream).load()
    return found.item() if isinstance(found, np.ndarray) and shape == () else found


def _hdf5(path: Path) -> Any:
    """Read the data sets at the top of an HDF5 file."""
    import h5py

    with h5py.File(path, "r") as file:
        return {name: item[()] for name, item in file.items() if isinstance(item, h5py.Dataset)}


# How each kind of file is read, by the name that the parent sends; the limits come on top.
READERS: dict[str, Callable[[Path], Any]] = {
    "torch": _torch,
    "mel": _mel,
    "numpy": _numpy,
    "hdf5": _hdf5,
}


def _write(folder: Path, content: object) -> None:
    """Write content as safetensors and JSON; the JSON, which is last, says that both are there."""
    tensors: dict[str, Any] = {}
    encoded = json.dumps(_encode(content, tensors))
    if any(_is_tensor(each) for each in tensors.values()):
        import torch
        from safetensors.torch import save_file

        tensors = {name: torch.as_tensor(each) for name, each in tensors.items()}
    else:
        from safetensors.numpy import save_file  # type: ignore[assignment]  # arrays, not tensors
    save_file(tensors, folder / TENSORS)
    (folder / CONTENT).write_text(encoded, "utf-8")


def _is_tensor(value: object) -> bool:
    loaded: Any = sys.modules.get("torch")
    return loaded is not None and isinstance(value, loaded.Tensor)


def _encode(value: Any, tensors: dict[str, Any]) -> Any:
    """Return plain values for JSON, with tensors moved to `tensors`; optimizers are left out."""
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
        kept = {str(key): each for key, each in value.items() if key not in _LEFT_OUT}
        return {key: _encode(each, tensors) for key, each in kept.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_encode(each, tensors) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return f"<{type(value).__name__}>"  # no plain value; no importer has use for it
