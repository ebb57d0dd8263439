"""Commands in processes of their own that need not import torch first: a server forks them.

To import torch and this package takes two to three seconds of a processor, and most tests of the
command line start several processes. The server has imported everything and nothing else: it never
computes, so it has no threads that a fork would lose. What it forks runs `python -m MODULE` as
Python does, from `__main__` to the end of the interpreter, with its own environment, folder,
streams, signals and exit code. `Warm` is a `subprocess.Popen` that asks the server.

`popen` takes it for commands that import torch; light ones start as fast by themselves. What is
about starting (limits of memory, another PYTHONPATH, other numbers of threads) starts cold, and
`faults/test_security.py` so starts every command.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_STATUS_BYTES = 4
# The commands that import torch whatever they are asked; `torch`: those that do as an engine.
_HEAVY = {"doctor", "evaluate", "export", "import", "preprocess", "train", "train-enhancer"}
_HEAVY.add("torch")


class Warm(subprocess.Popen[Any]):
    """A process that the server has forked; `args` are `[sys.executable, "-m", MODULE, ...]`."""

    _status: int

    def _execute_child(self, args: Any, *rest: Any) -> None:
        """Start the process: what Popen does itself by fork and exec, and its only private name."""
        cwd, env = rest[4], rest[5]
        fds = rest[9:15]  # for the child and for us: of stdin, stdout and stderr
        streams = [fd if fd >= 0 else number for number, fd in enumerate((fds[0], fds[3], fds[5]))]
        words = [os.fsdecode(word) for word in args]
        assert words[:2] == [sys.executable, "-m"], words
        self._status, theirs = os.pipe()
        request = {
            "words": words[2:],
            "cwd": os.fspath(cwd or Path.cwd()),
            "env": dict(os.environ if env is None else env),
            "session": bool(rest[20]),
        }
        try:
            server = _server()
            content = json.dumps(request).encode()
            socket.send_fds(server, [len(content).to_bytes(4, "big")], [*streams, theirs])
            server.sendall(content)
            self.pid = int.from_bytes(server.recv(4, socket.MSG_WAITALL), "big")
            assert self.pid, "the server of commands has ended"
            self._child_created = True
        finally:
            os.close(theirs)
            self._close_pipe_fds(*fds)  # type: ignore[attr-defined]  # in no stub

    def poll(self) -> int | None:
        """Return the exit code, or None while the process lives."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def _ended(self, within_s: float | None) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], within_s)[0]:
            status = os.read(self._status, _STATUS_BYTES)
            os.close(self._status)
            assert status, "the server of commands has ended"
            self.returncode = os.waitstatus_to_exitcode(int.from_bytes(status, "big"))
        return self.returncode


def popen(args: Sequence[str | bytes | Path], **more: Any) -> subprocess.Popen[Any]:
    """Start `python -m MODULE ...`, by way of the server where that is the same and faster."""
    started = Warm if _is_heavy(args) and _is_usual(**more) else subprocess.Popen
    return started(args, **more)


def _is_heavy(args: Sequence[str | bytes | Path]) -> bool:
    return args[1] == "-m" and (args[2] != "hifigan_cli" or not _HEAVY.isdisjoint(args[3:]))


def _is_usual(
    *, env: Mapping[str, str], preexec_fn: Callable[[], object] | None = None, **_: Any
) -> bool:
    """Tell whether a process would import what the server has imported, and as it did."""
    path, threads = (env.get(name) for name in ("PYTHONPATH", "OMP_NUM_THREADS"))
    return threads == "1" and path in (None, str(ROOT)) and preexec_fn is None


def run(
    args: Sequence[str | bytes | Path], *, stdin: bytes = b"", timeout_s: float, **more: Any
) -> subprocess.CompletedProcess[bytes]:
    """Start a process with `popen`, and wait for its end and all that it says."""
    pipe = subprocess.PIPE
    with popen(args, stdin=pipe, stdout=pipe, stderr=pipe, **more) as process:
        try:
            out, err = process.communicate(stdin, timeout=timeout_s)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(args, process.returncode, out, err)


@functools.cache
def _server() -> socket.socket:
    """Start the server of this process."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.warm", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
        )

    def leave() -> None:
        ours.close()
        process.wait()

    atexit.register(leave)
    return ours


def serve(ours: socket.socket) -> dict[str, Any] | None:
    """Fork for each request; return it in the child, and None at the end of the one who asks."""
    status_of: dict[int, int] = {}
    woken, wakes = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # so that the pipe is written to
    while True:
        ready = select.select([ours, woken], [], [])[0]
        if woken in ready:
            os.read(woken, 4096)
            _report_ended(status_of)
        if ours not in ready:
            continue
        size, fds, _, _ = socket.recv_fds(ours, 4, 4)
        if not size:
            return None
        request = json.loads(ours.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL))
        *streams, status = fds
        pid = os.fork()
        if pid == 0:
            _become(request, streams, [*status_of.values(), status, woken, wakes, ours.detach()])
            return dict(request)
        for stream in streams:
            os.close(stream)
        status_of[pid] = status
        ours.sendall(pid.to_bytes(4, "big"))


def _report_ended(status_of: dict[int, int]) -> None:
    """Tell the exit status of every child that has ended."""
    while status_of:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
            os.write(status_of[pid], status.to_bytes(_STATUS_BYTES, "big"))
        os.close(status_of.pop(pid))


def _become(request: dict[str, Any], streams: list[int], others: list[int]) -> None:
    """Make this fork what `python -m` would be: streams, environment, folder, signals."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", 1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    for fd in (*streams, *others):
        os.close(fd)
    if request["session"]:
        os.setsid()
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])


def _import_everything() -> None:
    """Import every module of the package but the one that runs; nothing is computed."""
    for path in sorted((ROOT / "hifigan_cli").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[-1] != "__main__":
            import_module(".".join(part for part in parts if part != "__init__"))
    import_module("torch._inductor.config")  # which torch imports for the first optimiser


if __name__ == "__main__":
    _import_everything()
    gc.freeze()
    asked = serve(socket.socket(fileno=int(sys.argv[1])))
    if asked is not None:
        module, *sys.argv[1:] = asked["words"]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
