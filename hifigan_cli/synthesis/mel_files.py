"""Mel files: .npy, .npz, .pt and .safetensors, recognized by their bytes.

Axes and bands are checked here; `input_mel` judges the values. Nothing is unpickled in this
process: another one (`hifigan_cli.io.untrusted`) does that for plain tensors, and nothing else.
"""

from __future__ import annotations

import io
import zipfile
from typing import IO, TYPE_CHECKING

import numpy as np

from hifigan_cli.errors import EmptyError, InputError
from hifigan_cli.io.files import open_regular
from hifigan_cli.io.untrusted import UntrustedFiles, read_untrusted

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from hifigan_cli.types import AnyArray

STDIN = "standard input"
MEL_SUFFIXES = frozenset({".npy", ".npz", ".pt", ".pth", ".safetensors"})
_TORCH_SUFFIXES = (".pt", ".pth")
_MOST_PACKED = 2 << 30  # bytes of an archive, which is read as a whole


def torch_mels(paths: Iterable[Path]) -> UntrustedFiles:
    """Return the PyTorch files among mel files, read by batches, one process a batch."""
    torch_files = [path for path in paths if path.suffix.lower() in _TORCH_SUFFIXES]
    return UntrustedFiles("mel", torch_files, InputError, arrays=True)


def open_array(source: Path | bytes, batches: UntrustedFiles | None = None) -> AnyArray:
    """Open the one array of a mel file, or of its bytes, whatever its shape and type.

    A .npy file is mapped, not read. `batches`, of `torch_mels`, saves a process for each PyTorch
    file among many.

    Raises:
        InputError: not a file of arrays.
    """
    if isinstance(source, bytes):
        if not source:
            raise EmptyError(f"{STDIN} is empty (0 bytes)")
        return _array(io.BytesIO(source), None, None)
    with open_regular(source) as stream:
        return _array(stream, source, batches)


def orient(array: AnyArray, label: str, n_mels: int, *, transpose: bool = False) -> AnyArray:
    """Return an array as `(n_mels, frames)` after checking its type, axes and bands.

    Raises:
        InputError: says what the array looks like, and how to correct it.
    """
    if array.dtype.kind != "f":
        raise InputError(
            f"{label} holds {array.dtype} values, a mel holds floating-point numbers",
            "save it as float32",
        )
    mel = array[0] if array.ndim == 3 and array.shape[0] == 1 else array
    if mel.ndim != 2 or 0 in mel.shape:
        raise InputError(
            f"{label} has the shape {array.shape}, a mel is (mels, frames)", "save one mel a file"
        )
    if transpose:
        mel = mel.T
    if mel.shape[0] != n_mels:
        frames_first = not transpose and mel.shape[1] == n_mels
        hint = (
            "it looks like (frames, mels): --transpose turns it"
            if frames_first
            else f"this model reads {n_mels} bands; `hifigan mel --like MODEL` computes them"
        )
        raise InputError(f"{label} has the shape {mel.shape}, not ({n_mels}, frames)", hint)
    return mel


def _array(stream: IO[bytes], path: Path | None, batches: UntrustedFiles | None) -> AnyArray:
    """Read the one array of a file; `path` allows it to be mapped instead of read."""
    label = str(path or STDIN)
    head = stream.read(8)
    stream.seek(0)
    try:
        if head.startswith(b"\x93NUMPY"):
            if path is None:
                return np.asarray(np.load(stream, allow_pickle=False))
            return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
        packed = head.startswith(b"PK")
        if packed and _is_npz(stream, label):
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        elif path is not None and batches is not None and path in batches:
            arrays = batches.read(path)
        elif packed or (path is not None and path.suffix.lower() in _TORCH_SUFFIXES):
            stream.seek(0)
            arrays = read_untrusted("mel", path or stream.read(), label, InputError, arrays=True)
        else:
            from safetensors.numpy import load

            arrays = load(stream.read())
    except InputError:
        raise
    except Exception as error:
        summary = str(error).partition("\n")[0][:200] or type(error).__name__
        raise InputError(
            f"{label} is not a mel file that can be read: {summary}",
            "a .npy of float32 (mels, frames) is; `hifigan mel` writes one",
        ) from error
    return _pick(arrays, label)


def _is_npz(stream: IO[bytes], label: str) -> bool:
    """Tell an .npz from a PyTorch file, after measuring what is in it."""
    with zipfile.ZipFile(stream) as archive:
        if sum(member.file_size for member in archive.infolist()) > _MOST_PACKED:
            raise InputError(
                f"{label} would take more than {_MOST_PACKED >> 30} GiB of memory",
                "save it as .npy, which is read piece by piece",
            )
        return all(name.endswith(".npy") for name in archive.namelist())


def _pick(arrays: dict[str, AnyArray], label: str) -> AnyArray:
    if "mel" in arrays:
        return arrays["mel"]
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    names = ", ".join(sorted(arrays)[:8]) or "none"
    raise InputError(
        f"{label} has no array named mel (it has: {names})",
        "name the array mel; a checkpoint is read by `hifigan import`",
    )
