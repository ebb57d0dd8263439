"""Commands in subprocesses that need not import torch: forks of one process which has done so.

Importing torch takes seconds, which most tests of the command line would spend for each command.
A fork has its own memory, files, signals, and exit status; its streams are those that it is given,
and it ends as the interpreter ends. Tests of the start-up, of what is imported, of limits that are
set before the interpreter starts, and of kills start real processes.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ROOT = Path(__file__).parents[1]
_CODE = "from tests.forkserver import serve; serve()"
_MESSAGE_BYTES = 1 << 17
# The libraries or the interpreter read these when they start; a fork would not see a new value.
_READ_AT_START = ("LD_", "PYTHON", "MALLOC_", "CUDA_", "OMP_", "OPENBLAS_", "MKL_")
_PRELOADED = (
    "torch",
    "torch._dynamo",  # by optimizers
    "torch.utils.tensorboard",
    "scipy.signal",
    "onnx",
    "hifigan_cli.api",
    "hifigan_cli.data.preparation",
    "hifigan_cli.enhancement.training.enhancer",
    "hifigan_cli.reports.resynthesis",
    "hifigan_cli.training.vocoder",
)


@dataclass
class Forked:
    """A command that runs."""

    pid: int
    _connection: socket.socket
    _status: int | None = None

    def poll(self) -> int | None:
        """Return the exit status as `subprocess.Popen` gives it, or None while it runs."""
        if self._status is None and select.select([self._connection], [], [], 0)[0]:
            return self.wait()
        return self._status

    def wait(self) -> int:
        """Return the exit status when there is one."""
        if self._status is None:
            with self._connection:
                self._status = int(self._connection.recv(64))
        return self._status

    def kill(self) -> None:
        """End it at once."""
        os.kill(self.pid, signal.SIGKILL)


def can_fork(env: Mapping[str, str]) -> bool:
    """Tell whether a fork would see each variable as a new process would."""
    started_with = _environment()
    new = {name for name, value in env.items() if started_with.get(name) != value}
    return sys.platform == "linux" and not any(name.startswith(_READ_AT_START) for name in new)


def start(
    module: str,
    words: Sequence[str | bytes | Path],
    descriptors: tuple[int, int, int],
    env: Mapping[str, str],
    cwd: Path | None = None,
) -> Forked:
    """Run `python -m MODULE WORDS` in a fork, with these streams."""
    request = {
        "module": module,
        "words": [os.fsdecode(word) for word in words],
        "env": dict(env),
        "cwd": str(cwd or Path.cwd()),
    }
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        message = [json.dumps(request).encode()]
        socket.send_fds(_server(), message, [theirs.fileno(), *descriptors])
    return Forked(int(ours.recv(64)), ours)


def run(
    module: str,
    words: Sequence[str | bytes | Path],
    stdin: bytes,
    env: Mapping[str, str],
    cwd: Path | None,
    timeout_s: float,
) -> subprocess.CompletedProcess[bytes]:
    """Run `python -m MODULE WORDS`, in a fork where that can be; the streams are pipes."""
    if not can_fork(env):
        return subprocess.run(
            [sys.executable, "-m", module, *words],
            input=stdin,
            capture_output=True,
            env=dict(env),
            cwd=cwd,
            timeout=timeout_s,
            check=False,
        )
    pipes = [os.pipe() for _ in range(3)]
    theirs = pipes[0][0], pipes[1][1], pipes[2][1]
    forked = start(module, words, theirs, env, cwd)
    for descriptor in theirs:
        os.close(descriptor)
    outputs: list[bytes] = [b"", b""]

    def write() -> None:
        try:
            with os.fdopen(pipes[0][1], "wb") as stream:
                stream.write(stdin)
        except BrokenPipeError:
            pass

    def read(index: int) -> None:
        with os.fdopen(pipes[1 + index][0], "rb") as stream:
            outputs[index] = stream.read()

    threads = [threading.Thread(target=write)]
    threads += [threading.Thread(target=read, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    timer = threading.Timer(timeout_s, forked.kill)
    timer.start()
    status = forked.wait()
    timer.cancel()
    for thread in threads:
        thread.join()
    return subprocess.CompletedProcess(list(words), status, *outputs)


def _environment() -> dict[str, str]:
    """Return the environment in which the process that forks starts: one thread."""
    inherited = {key: v for key, v in os.environ.items() if not key.startswith("HIFIGAN_")}
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return {**inherited, **one_thread, "PYTHONPATH": str(_ROOT)}


@cache
def _server() -> socket.socket:
    """Start the process that forks; it ends when this one has."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", _CODE],
            stdin=theirs.fileno(),
            cwd=_ROOT,
            env=_environment(),
            start_new_session=True,
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def serve() -> None:
    """Fork for each request on descriptor 0, until it is closed."""
    for name in _PRELOADED:
        __import__(name)
    assert len([*Path("/proc/self/task").iterdir()]) == 1, "a fork would lose the other threads"
    control = socket.socket(fileno=os.dup(0))
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, _MESSAGE_BYTES, 4)
        if not message:
            os._exit(0)
        if os.fork() == 0:
            control.close()
            _watch(message, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        while _reap():
            pass


def _reap() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] > 0
    except ChildProcessError:
        return False


def _watch(message: bytes, descriptors: Sequence[int]) -> NoReturn:
    """Fork once more, into the command; send its process number and, when it ends, its status."""
    connection = socket.socket(fileno=descriptors[0])
    child = os.fork()
    if child == 0:
        connection.close()
        _run(message, descriptors[1:])
    for descriptor in descriptors[1:]:
        os.close(descriptor)
    connection.send(str(child).encode())
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    connection.send(str(status).encode())
    os._exit(0)


def _run(message: bytes, descriptors: Sequence[int]) -> NoReturn:
    """Become the command: its streams, environment, folder and arguments."""
    request = json.loads(message)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.path[0] = str(_ROOT)
    sys.argv = ["hifigan", *request["words"]]
    status: object = 0
    try:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        status = 1
    # What the interpreter does at its end, without taking all modules apart, which takes a second.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else 1)
