"""Mel files: .npy, .npz, .pt and .safetensors, recognized by their content.

This module checks axes and bands; `input_mel` checks the values. Nothing is unpickled in this
process: a child process (`hifigan_cli.io.untrusted`) reads plain tensors, and nothing else.
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
_MAX_ARCHIVE_BYTES = 2 << 30  # an archive is read completely


def torch_mel_files(paths: Iterable[Path]) -> UntrustedFiles:
    """Collect the PyTorch files among mel files, to read them in batches with one process each."""
    torch_files = [path for path in paths if path.suffix.lower() in _TORCH_SUFFIXES]
    return UntrustedFiles("mel", torch_files, InputError, arrays=True)


def open_array(source: Path | bytes, torch_files: UntrustedFiles | None = None) -> AnyArray:
    """Open the array of a mel file, or of its bytes, with any shape and type.

    A .npy file is memory-mapped. With `torch_files` (see `torch_mel_files`), many PyTorch files
    share a process.

    Raises:
        InputError: not a mel file.
    """
    if isinstance(source, bytes):
        if not source:
            raise EmptyError(f"{STDIN} is empty (0 bytes)")
        return _read_array(io.BytesIO(source), None, None)
    with open_regular(source) as stream:
        return _read_array(stream, source, torch_files)


def orient(array: AnyArray, label: str, n_mels: int, *, transpose: bool = False) -> AnyArray:
    """Return an array as `(n_mels, frames)` after checking its type, axes and bands.

    Raises:
        InputError: not a mel of `n_mels` bands; the hint suggests a fix.
    """
    if array.dtype.kind != "f":
        raise InputError(
            f"{label} has {array.dtype} values; a mel has floating-point values",
            "save it as float32",
        )
    mel = array[0] if array.ndim == 3 and array.shape[0] == 1 else array
    if mel.ndim != 2 or 0 in mel.shape:
        raise InputError(
            f"{label} has the shape {array.shape}; a mel is (n_mels, frames)",
            "save one mel per file",
        )
    if transpose:
        mel = mel.T
    if mel.shape[0] != n_mels:
        frames_first = not transpose and mel.shape[1] == n_mels
        hint = (
            "it looks like (frames, n_mels): use --transpose"
            if frames_first
            else f"this model reads {n_mels} bands; `hifigan mel --like MODEL` computes them"
        )
        raise InputError(f"{label} has the shape {mel.shape}, not ({n_mels}, frames)", hint)
    return mel


def _read_array(
    stream: IO[bytes], path: Path | None, torch_files: UntrustedFiles | None
) -> AnyArray:
    """Read the array of a file; with `path`, a .npy file is memory-mapped."""
    label = str(path or STDIN)
    head = stream.read(8)
    stream.seek(0)
    try:
        if head.startswith(b"\x93NUMPY"):
            if path is None:
                return np.asarray(np.load(stream, allow_pickle=False))
            return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
        is_zip = head.startswith(b"PK")
        if is_zip and _is_npz(stream, label):
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        elif path is not None and torch_files is not None and path in torch_files:
            arrays = torch_files.read(path)
        elif is_zip or (path is not None and path.suffix.lower() in _TORCH_SUFFIXES):
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
            f"{label} is not a readable mel file: {summary}",
            "save the mel as a float32 .npy (n_mels, frames), as `hifigan mel` does",
        ) from error
    return _select_mel(arrays, label)


def _is_npz(stream: IO[bytes], label: str) -> bool:
    """Return whether an archive is .npz and not a PyTorch file; check its unpacked size first."""
    with zipfile.ZipFile(stream) as archive:
        if sum(member.file_size for member in archive.infolist()) > _MAX_ARCHIVE_BYTES:
            raise InputError(
                f"{label} needs more than {_MAX_ARCHIVE_BYTES >> 30} GiB of memory",
                "save it as .npy, which is read in blocks",
            )
        return all(name.endswith(".npy") for name in archive.namelist())


def _select_mel(arrays: dict[str, AnyArray], label: str) -> AnyArray:
    if "mel" in arrays:
        return arrays["mel"]
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    names = ", ".join(sorted(arrays)[:8]) or "none"
    raise InputError(
        f"{label} has no array named mel (it has: {names})",
        "name the array mel; use `hifigan import` for a checkpoint",
    )
