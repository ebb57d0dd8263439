"""A file that nobody vouches for -> tensors and plain values, by way of another process."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from hifigan_cli.errors import OutputError
from hifigan_cli.io.untrusted.plain import CONTENT, REFUSAL, REFUSED, read_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hifigan_cli.errors import HifiganError

_WALL_S = 600
_CONTENT_BYTES = 64 << 20  # of plain values; configurations have a few kilobytes
# Without -P the folder at hand would come first among those that modules are imported from, and a
# stranger's folder may hold a torch.py.
_PROGRAM = "import sys; sys.path.append(sys.argv[1]); from hifigan_cli.io.untrusted import child"
_LINE = ("-P", "-c", f"{_PROGRAM}; child.serve()", str(Path(__file__).parents[2]))


def read_untrusted(
    kind: str,
    source: Path | bytes,
    label: str,
    error: type[HifiganError],
    *,
    arrays: bool = False,
) -> Any:
    """Read a file, or the bytes of one, as `child.READERS` says; tensors as numpy's if `arrays`.

    Raises:
        HifiganError: of the kind `error`: unreadable, or it holds more than tensors and values.
        OutputError: there is no place for temporary files.
    """
    with _place(source) as (folder, source):
        status = _serving.ask(kind, source.absolute(), folder)
        if status is None:
            raise error(f"{label} takes too long to read", "it is damaged, or made so")
        if status == REFUSED:
            reason = (folder / REFUSAL).read_text("utf-8")
            raise error(
                f"{label} is not a file of plain tensors and numbers: {reason}",
                "files that hold code are never loaded",
            )
        if status:
            raise error(
                f"reading {label} failed: it wants more memory or time than a file of its size "
                "can need",
                "is it whole?",
            )
        try:
            if (folder / CONTENT).stat().st_size > _CONTENT_BYTES:
                raise error(f"{label} holds too much beside its tensors")
            return read_plain(folder, arrays=arrays)
        except (ValueError, OSError, SafetensorError) as failure:
            raise error(f"{label} cannot be read: {failure}") from failure


@contextmanager
def _place(source: Path | bytes) -> Iterator[tuple[Path, Path]]:
    """Make a folder that only this user may look into; put bytes there, so that they are a file."""
    with ExitStack() as stack:
        try:
            temporary = tempfile.TemporaryDirectory(prefix="hifigan-", ignore_cleanup_errors=True)
            folder = Path(stack.enter_context(temporary))
            if isinstance(source, bytes):
                (folder / "source").write_bytes(source)
                source = folder / "source"
        except OSError as error:
            raise OutputError(
                f"no place for temporary files: {error.strerror or error}", "TMPDIR names another"
            ) from error
        yield folder, source


class _Serving:
    """The other process, started when it is first needed; it ends with this one."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._turn = threading.Lock()

    def ask(self, kind: str, path: Path, folder: Path) -> int | None:
        """Have a file read into a folder; return the status, None if it took too long."""
        with self._turn:
            answered = False
            try:
                process = self._started()
                assert process.stdin is not None  # noqa: S101 - for the type checker: pipes
                assert process.stdout is not None  # noqa: S101 - likewise
                request = json.dumps([kind, str(path), str(folder)]).encode() + b"\n"
                with suppress(BrokenPipeError):  # it was killed; that it says nothing tells
                    process.stdin.write(request)
                if not select.select([process.stdout], [], [], _WALL_S)[0]:
                    return None
                answer = process.stdout.readline()
                answered = bool(answer)
                return int(answer or b"1")
            finally:
                if not answered:  # also at a signal: the next must not get this one's answer
                    self.stop()

    def stop(self) -> None:
        """End it, and who reads for it."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():  # a fork's: it is the parent's to end
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with process:  # closes the pipes, and waits
            pass

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._owner != os.getpid():
            environment = {
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",
            }
            environment.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
            self._process = subprocess.Popen(  # noqa: S603 - this Python, this package
                [sys.executable, *_LINE],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
            self._owner = os.getpid()
        return self._process


_serving = _Serving()
atexit.register(_serving.stop)
