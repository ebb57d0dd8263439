"""The process that reads files which nobody vouches for, each in a fork of its own.

Only tensors and plain values are unpickled; a file that asks for any other class or function is
refused. Should a reader of bytes have a flaw all the same, it has little memory, little time, no
core dump, and nothing but a fork to spoil: the process that forks never looks into a file, so that
torch is imported once for all of them.
"""

from __future__ import annotations

import collections
import json
import os
import pickle
import resource
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import torch
from numpy._core import multiarray

from hifigan_cli.io.untrusted.plain import REFUSAL, REFUSED, write_plain

if TYPE_CHECKING:
    from collections.abc import Callable

# Memory of a process that has imported torch, above which the file is counted: it is held as bytes,
# as tensors, and once more as it is written.
_BASE_BYTES, _PER_BYTE = 2 << 30, 4
_CPU_S = 300


def serve() -> None:
    """Read requests, a line of JSON each, `[KIND, FILE, FOLDER]`; answer each with a status."""
    requests, answers = sys.stdin.buffer, os.dup(1)
    for line in requests:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(answers)
                nothing = os.open(os.devnull, os.O_RDWR)
                for stream in range(3):
                    os.dup2(nothing, stream)
                kind, path, folder = json.loads(line)
                status = read(kind, Path(path), Path(folder))
            finally:
                os._exit(status)
        _, ended = os.waitpid(child, 0)
        os.write(answers, b"%d\n" % os.waitstatus_to_exitcode(ended))


def read(kind: str, path: Path, folder: Path) -> int:
    """Read a file and write what it holds, within limits; return the exit status."""
    _limit(path.stat().st_size)
    try:
        write_plain(folder, READERS[kind](path))
    except Exception as error:  # noqa: BLE001 - a damaged file may raise anything
        reason = _reason(str(error).strip() or type(error).__name__)
        (folder / REFUSAL).write_text(reason, "utf-8")
        return REFUSED
    return 0


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


def _limit(size: int) -> None:
    """Hold this process to what a file of this size can need."""
    memory = _BASE_BYTES + _PER_BYTE * size
    limits = [
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_FSIZE, _PER_BYTE * size + (64 << 20)),
        (resource.RLIMIT_CPU, _CPU_S),
        (resource.RLIMIT_CORE, 0),
    ]
    for name, limit in limits:
        try:
            hard = resource.getrlimit(name)[1]
            lowest = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            resource.setrlimit(name, (lowest, lowest))
        except (ValueError, OSError):  # a system without this one
            continue


def _torch(path: Path) -> Any:
    """Load a PyTorch file; numpy's numbers, which many tools leave in it, are plain values too."""
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
    tensors = {str(k): v.detach() for k, v in named.items() if isinstance(v, torch.Tensor)}
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


# What the process is for, by name: how each kind of file is read, without the limits.
READERS: dict[str, Callable[[Path], Any]] = {
    "torch": _torch,
    "mel": _mel,
    "numpy": _numpy,
    "hdf5": _hdf5,
}
