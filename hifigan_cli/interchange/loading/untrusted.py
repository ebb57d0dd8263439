"""A file that nobody vouches for -> tensors and plain values, by way of a child process."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hifigan_cli.errors import ModelError
from hifigan_cli.interchange.loading import child
from hifigan_cli.interchange.loading.plain import CONTENT, read_plain
from hifigan_cli.models.tensorfile import check_readable

_WALL_S = 600
_CONTENT_BYTES = 64 << 20  # of plain values; configurations have a few kilobytes
_HDF5 = b"\x89HDF\r\n\x1a\n"
_SAFETENSORS_HEADER = 100 << 20  # the longest that the format allows


def load_tensors_only(path: Path) -> dict[str, Any]:
    """Load a checkpoint: a PyTorch file or safetensors, whatever it is called.

    Raises:
        ModelError: unreadable, or it holds more than tensors and plain values.
    """
    check_readable(path)
    content = _safetensors(path) if _is_safetensors(path) else _by_child("torch", path)
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds a {type(content).__name__}, not a checkpoint")
    return content


def load_statistics(path: Path) -> Any:
    """Load arrays of .npy, .npz or HDF5, whatever the file is called.

    Raises:
        ModelError: unreadable, or it holds more than numbers.
    """
    check_readable(path)
    with path.open("rb") as stream:
        head = stream.read(len(_HDF5))
    if head != _HDF5:
        return _by_child("numpy", path)
    if importlib.util.find_spec("h5py") is None:
        raise ModelError(
            f"{path} is HDF5, which h5py reads", "pip install 'hifigan-cli[import]' brings it"
        )
    return _by_child("hdf5", path)


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as stream:
        head = stream.read(9)
    return head[8:] == b"{" and int.from_bytes(head[:8], "little") <= _SAFETENSORS_HEADER


def _safetensors(path: Path) -> dict[str, Any]:
    import safetensors.torch
    from safetensors import SafetensorError

    try:
        return dict(safetensors.torch.load_file(path))
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is damaged: {error}") from error


def _by_child(kind: str, path: Path) -> Any:
    with tempfile.TemporaryDirectory(prefix="hifigan-") as name:  # only this user may look in
        folder = Path(name)
        command = [sys.executable, "-m", child.__name__, kind, str(path.absolute()), name]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"}
        environment.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
        try:
            run = subprocess.run(  # noqa: S603 - this Python, this package; a path of no shell
                command, capture_output=True, env=environment, timeout=_WALL_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise ModelError(
                f"{path} takes too long to read", "it is damaged, or made so"
            ) from error
        if run.returncode:
            raise _refusal(path, folder, run.returncode)
        if (folder / CONTENT).stat().st_size > _CONTENT_BYTES:
            raise ModelError(f"{path} holds too much beside its tensors to be a checkpoint")
        try:
            return read_plain(folder)
        except ValueError as error:
            raise ModelError(f"{path} is no checkpoint: {error}") from error


def _refusal(path: Path, folder: Path, status: int) -> ModelError:
    if status == child.REFUSED:
        reason = (folder / child.REFUSAL).read_text("utf-8")
        return ModelError(
            f"{path} is not a file of plain tensors and numbers: {reason}",
            "files that hold code are never loaded",
        )
    return ModelError(
        f"reading {path} failed: it wants more memory or time than a file of its size can need",
        "is it whole?",
    )
