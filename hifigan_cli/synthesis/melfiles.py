"""Mel files: .npy, .npz, .pt and .safetensors, told apart by their bytes.

Axes and bands are checked here; what the values are is judged in `given`. Nothing is unpickled in
this process; in another one (`untrusted`) plain tensors are, and nothing else.
"""

from __future__ import annotations

import io
import zipfile
from typing import IO, TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hifigan_cli.errors import EmptyError, InputError
from hifigan_cli.io.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hifigan_cli.types import AnyArray

MEL_SUFFIXES = frozenset({".npy", ".npz", ".pt", ".pth", ".safetensors"})

_BLOCK_FRAMES = 4096
_MOST_PACKED = 2 << 30  # bytes of an archive, which is read as a whole
STDIN = "standard input"


def open_array(source: Path | bytes) -> AnyArray:
    """Open the one array of a mel file, or of its bytes, whatever its shape and type.

    Raises:
        InputError: not a file of arrays.
    """
    if isinstance(source, bytes):
        if not source:
            raise EmptyError(f"{STDIN} is empty (0 bytes)")
        return _array(io.BytesIO(source), None)
    with open_regular(source) as stream:
        return _array(stream, source)


def label_of(source: Path | bytes) -> str:
    """Name a mel file, or the stream that its bytes came from."""
    return STDIN if isinstance(source, bytes) else str(source)


def blocks(
    mel: AnyArray, convert: Callable[[AnyArray], npt.NDArray[np.float32]]
) -> Iterator[npt.NDArray[np.float32]]:
    """Yield a mel `(mels, frames)`, converted, as arrays `(1, mels, frames)` of some seconds."""
    for start in range(0, mel.shape[1], _BLOCK_FRAMES):
        yield convert(np.array(mel[:, start : start + _BLOCK_FRAMES]))[None]


def oriented(array: AnyArray, label: str, n_mels: int, *, transpose: bool = False) -> AnyArray:
    """Return an array as `(mels, frames)` after checking its type, axes and bands.

    Raises:
        InputError: says what the array looks like and how to mend it.
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


def _array(stream: IO[bytes], path: Path | None) -> AnyArray:
    """Read the one array of a file; `path` allows it to be mapped instead of read."""
    label = str(path or STDIN)
    head = stream.read(8)
    stream.seek(0)
    try:
        if head.startswith(b"\x93NUMPY"):
            return _npy(stream, path)
        if head.startswith(b"PK"):
            is_npz = all(name.endswith(".npy") for name in _members(stream, label))
            stream.seek(0)
            arrays = _npz(stream) if is_npz else _torch(stream, path)
        elif path is not None and path.suffix.lower() in (".pt", ".pth"):
            arrays = _torch(stream, path)
        else:
            arrays = _safetensors(stream)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{label} is not a mel file that can be read: {_summary(error)}",
            "a .npy of float32 (mels, frames) is; `hifigan mel` writes one",
        ) from error
    return _pick(arrays, label)


def _summary(error: Exception) -> str:
    return str(error).partition("\n")[0][:200] or type(error).__name__


def _npy(stream: IO[bytes], path: Path | None) -> AnyArray:
    if path is None:
        return np.asarray(np.load(stream, allow_pickle=False))
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def _members(stream: IO[bytes], label: str) -> list[str]:
    """List the members of an archive after measuring them."""
    with zipfile.ZipFile(stream) as archive:
        if sum(member.file_size for member in archive.infolist()) > _MOST_PACKED:
            raise InputError(
                f"{label} would take more than {_MOST_PACKED >> 30} GiB of memory",
                "save it as .npy, which is read piece by piece",
            )
        return archive.namelist()


def _npz(stream: IO[bytes]) -> dict[str, AnyArray]:
    with np.load(stream, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _torch(stream: IO[bytes], path: Path | None) -> dict[str, AnyArray]:
    from hifigan_cli.io.untrusted.reader import read_untrusted

    source, label = path or stream.read(), str(path or STDIN)
    return dict(read_untrusted("mel", source, label, InputError, arrays=True))


def _safetensors(stream: IO[bytes]) -> dict[str, AnyArray]:
    from safetensors.numpy import load

    return dict(load(stream.read()))


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
