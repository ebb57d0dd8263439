"""Read pickles and other untrusted files as tensors and plain values, in another process.

One subprocess (`untrusted_child`) reads a batch of files within limits of memory, file size and
time, and writes each as two files that cannot run code: safetensors and JSON. If a file crashes the
subprocess, the other files of the batch are still read.
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

# The child writes the first two or the third into the folder of each file.
CONTENT, TENSORS, REFUSAL = "content.json", "tensors.safetensors", "refusal.txt"
TENSOR_KEY = "$tensor"
_TIMED_OUT = "timed-out"  # this process creates it in the folder of a file that took too long
_TIMEOUT_S = 600.0
_MAX_CONTENT_BYTES = 64 << 20  # plain values; configurations have a few kilobytes
_BATCH_FILES = 64
# -P excludes the current folder from the module search: it may hold an untrusted torch.py.
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
    """Read a file or its bytes with `untrusted_child.READERS[kind]`.

    Tensors are torch tensors, or with `arrays` numpy arrays, which need no torch in this process.

    Raises:
        HifiganError: of the class `error`: the file is unreadable, or has other content than
            tensors and plain values.
        OutputError: temporary files cannot be written.
    """
    with _temporary_folder() as name:
        folder = Path(name)
        if isinstance(source, bytes):
            try:
                (folder / "source").write_bytes(source)
            except OSError as failure:
                raise _temporary_folder_error(failure) from failure
            source = folder / "source"
        _read_batch(kind, [source], folder)
        return _load(folder / "0", label, error, arrays=arrays)


class UntrustedFiles:
    """Many untrusted files of one kind, read batch by batch on demand.

    Each batch runs in one subprocess, which imports torch once. `read` raises the same errors as
    `read_untrusted`. Threads may share an instance.
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
        """Read one of the files, together with its batch."""
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
        raise _temporary_folder_error(error) from error


def _temporary_folder_error(error: OSError) -> OutputError:
    return OutputError(
        f"cannot write temporary files: {error.strerror or error}", "set TMPDIR to another folder"
    )


def _read_batch(kind: str, files: Sequence[Path], folder: Path) -> None:
    """Read files into the folders `0`, `1`, ...; the folder of a file that failed stays empty.

    If the subprocess ends early, another one reads the unfinished files. If a subprocess finishes
    no file, its first file is skipped.
    """
    pending = []
    for index, path in enumerate(files):
        (folder / str(index)).mkdir()
        pending.append((str(path.absolute()), str(folder / str(index))))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"}
    environment.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    while pending:
        timed_out = False
        try:
            subprocess.run(  # noqa: S603 - this Python, this package
                [sys.executable, *_COMMAND],
                input=json.dumps([kind, pending]).encode(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,  # this process handles Ctrl-C
                timeout=_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            timed_out = True
        remaining = [task for task in pending if not _is_finished(Path(task[1]))]
        if len(remaining) == len(pending):
            if timed_out:
                Path(remaining[0][1], _TIMED_OUT).touch()
            remaining = remaining[1:]
        pending = remaining


def _is_finished(folder: Path) -> bool:
    return (folder / CONTENT).exists() or (folder / REFUSAL).exists()


def _load(folder: Path, label: str, error: type[HifiganError], *, arrays: bool) -> Any:
    """Load the output of the child for a file, or raise the reason for its failure."""
    if (folder / _TIMED_OUT).exists():
        raise error(f"{label} takes too long to read", "the file may be damaged or malicious")
    if (folder / REFUSAL).exists():
        reason = (folder / REFUSAL).read_text("utf-8")
        raise error(
            f"{label} contains something other than tensors and numbers: {reason}",
            "check that it is the right file; hifigan never runs code in files",
        )
    if not (folder / CONTENT).exists():
        raise error(
            f"reading {label} failed: it needs more memory or time than its size allows",
            "the file may be incomplete",
        )
    if arrays:
        from safetensors.numpy import load_file
    else:
        from safetensors.torch import load_file  # type: ignore[assignment]  # tensors, not arrays
    try:
        if (folder / CONTENT).stat().st_size > _MAX_CONTENT_BYTES:
            raise error(f"{label} contains too much data outside its tensors")
        content = json.loads((folder / CONTENT).read_text("utf-8"))
        return _decode(content, load_file(folder / TENSORS))
    except (ValueError, OSError, SafetensorError) as failure:
        raise error(f"{label} cannot be read: {failure}") from failure


def _decode(value: Any, tensors: dict[str, Any]) -> Any:
    """Replace the placeholders of `untrusted_child` with the tensors."""
    if isinstance(value, list):
        return [_decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {TENSOR_KEY}:
        name = value[TENSOR_KEY]
        if not isinstance(name, str) or name not in tensors:
            raise ValueError("a tensor is missing")
        return tensors[name]
    return {key: _decode(item, tensors) for key, item in value.items()}
