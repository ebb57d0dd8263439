"""Read pickles and other untrusted files as tensors and plain values, in another process.

One subprocess (`untrusted_child`) reads a batch of files within limits of memory, file size and
time, and writes each as two files that cannot run code: safetensors and JSON. A file that ends the
subprocess does not cost the others of its batch.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from hifigan_cli.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hifigan_cli.errors import HifiganError

# What the child writes into the folder of each file: the first two, or the third.
CONTENT, TENSORS, REFUSAL = "content.json", "tensors.safetensors", "refusal.txt"
TENSOR_KEY = "$tensor"
_TOO_LONG = "too-long"  # our mark in the folder of a file that was given up
_WALL_S = 600.0
_CONTENT_BYTES = 64 << 20  # of plain values; configurations have a few kilobytes
_BATCH_FILES = 64
# With -P the current folder is not searched for modules: it may hold a stranger's torch.py.
_PROGRAM = "import sys; sys.path.append(sys.argv[1]); from hifigan_cli.io import untrusted_child"
_COMMAND = ("-P", "-c", f"{_PROGRAM}; untrusted_child.main()", str(Path(__file__).parents[2]))


def read_untrusted(
    kind: str,
    source: Path | bytes,
    label: str,
    error: type[HifiganError],
    *,
    arrays: bool = False,
) -> Any:
    """Read a file, or the bytes of one, as `untrusted_child.READERS[kind]` does.

    Tensors are torch's, or with `arrays` numpy's, which needs no torch in this process.

    Raises:
        HifiganError: of the class `error`: unreadable, or more than tensors and plain values.
        OutputError: there is no place for temporary files.
    """
    with _temporary_folder() as name:
        folder = Path(name)
        if isinstance(source, bytes):
            try:
                (folder / "source").write_bytes(source)
            except OSError as failure:
                raise _no_place(failure) from failure
            source = folder / "source"
        _read_batch(kind, [source], folder)
        return _load(folder / "0", label, error, arrays=arrays)


class UntrustedFiles:
    """Many untrusted files of one kind, read batch by batch when they are asked for.

    A batch costs one subprocess, which imports torch once. `read` raises as `read_untrusted` does.
    Threads may share an instance.
    """

    def __init__(
        self, kind: str, files: Sequence[Path], error: type[HifiganError], *, arrays: bool = False
    ) -> None:
        self._kind, self._error, self._arrays = kind, error, arrays
        self._files = list(files)
        self._index = {path: index for index, path in enumerate(self._files)}
        self._start: int | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._lock = threading.Lock()

    def __contains__(self, path: object) -> bool:
        return path in self._index

    def read(self, path: Path) -> Any:
        """Read one of the files, with the batch that it belongs to."""
        with self._lock:
            index = self._index[path]
            start = index - index % _BATCH_FILES
            if self._folder is None or start != self._start:
                if self._folder is not None:
                    self._folder.cleanup()
                self._folder = _temporary_folder()
                weakref.finalize(self, self._folder.cleanup)
                batch = self._files[start : start + _BATCH_FILES]
                _read_batch(self._kind, batch, Path(self._folder.name))
                self._start = start
            folder = Path(self._folder.name, str(index - start))
            return _load(folder, str(path), self._error, arrays=self._arrays)


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Create a folder that only this user can open."""
    try:
        return tempfile.TemporaryDirectory(prefix="hifigan-", ignore_cleanup_errors=True)
    except OSError as error:
        raise _no_place(error) from error


def _no_place(error: OSError) -> OutputError:
    return OutputError(
        f"no place for temporary files: {error.strerror or error}", "TMPDIR names another"
    )


def _read_batch(kind: str, files: Sequence[Path], folder: Path) -> None:
    """Read files into the folders `0`, `1`, ...; the folder of a file that failed stays empty.

    A subprocess that ends early is started again for the files after the last one it finished. A
    file is given up when a subprocess of its own, with the whole time limit, has not finished it.
    """
    pending = []
    for index, path in enumerate(files):
        (folder / str(index)).mkdir()
        pending.append((str(path.absolute()), str(folder / str(index))))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"}
    environment.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    while pending:
        too_long = False
        try:
            subprocess.run(  # noqa: S603 - this Python, this package
                [sys.executable, *_COMMAND],
                input=json.dumps([kind, pending]).encode(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,  # a Ctrl-C is ours to handle
                timeout=_WALL_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            too_long = True
        left = [each for each in pending if not _finished(Path(each[1]))]
        if len(left) == len(pending):
            if too_long:
                Path(left[0][1], _TOO_LONG).touch()
            left = left[1:]
        pending = left


def _finished(folder: Path) -> bool:
    return (folder / CONTENT).exists() or (folder / REFUSAL).exists()


def _load(folder: Path, label: str, error: type[HifiganError], *, arrays: bool) -> Any:
    """Load what the child wrote of a file, or raise why there is nothing."""
    if (folder / _TOO_LONG).exists():
        raise error(f"{label} takes too long to read", "it is damaged, or made so")
    if (folder / REFUSAL).exists():
        reason = (folder / REFUSAL).read_text("utf-8")
        raise error(
            f"{label} is not a file of plain tensors and numbers: {reason}",
            "files that hold code are never loaded",
        )
    if not (folder / CONTENT).exists():
        raise error(
            f"reading {label} failed: it wants more memory or time than a file of its size "
            "can need",
            "the file may be incomplete",
        )
    if arrays:
        from safetensors.numpy import load_file
    else:
        from safetensors.torch import load_file  # type: ignore[assignment]  # tensors, not arrays
    try:
        if (folder / CONTENT).stat().st_size > _CONTENT_BYTES:
            raise error(f"{label} holds too much besides its tensors")
        content = json.loads((folder / CONTENT).read_text("utf-8"))
        return _decode(content, load_file(folder / TENSORS))
    except (ValueError, OSError, SafetensorError) as failure:
        raise error(f"{label} cannot be read: {failure}") from failure


def _decode(value: Any, tensors: dict[str, Any]) -> Any:
    """Put tensors back into the places that `untrusted_child` left for them."""
    if isinstance(value, list):
        return [_decode(each, tensors) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {TENSOR_KEY}:
        name = value[TENSOR_KEY]
        if not isinstance(name, str) or name not in tensors:
            raise ValueError("a tensor is missing")
        return tensors[name]
    return {key: _decode(each, tensors) for key, each in value.items()}
