"""Run commands in forks of one process that has already imported torch.

Importing torch takes seconds, and most tests of the command line would spend them for each command.
A fork has its own memory, files, signals, streams and exit status, and ends as the interpreter
does. Tests of start-up, of imports, of limits that are set before the interpreter starts, and of
kills start real processes.
"""

from __future__ import annotations

import atexit
import io
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
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import IO, TYPE_CHECKING, Any, NoReturn
from unittest.mock import patch

from hifigan_cli.io import untrusted, untrusted_child

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_ROOT = Path(__file__).parents[1]
_CODE = "from tests.forkserver import serve; serve()"
_MESSAGE_BYTES = 1 << 17
# Libraries or the interpreter read these variables at start; a fork would not see a new value.
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


HIFIGAN = (sys.executable, "-m", "hifigan_cli")
HIFIGAN_SMALL = (sys.executable, "-m", "tests.training.small")  # with small discriminators
Argument = str | bytes | Path


@dataclass
class ForkedProcess:
    """A running command, with the methods of `subprocess.Popen` that the tests use."""

    pid: int
    _connection: socket.socket
    returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, or None while the command runs."""
        if self.returncode is None and select.select([self._connection], [], [], 0)[0]:
            return self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, and return the exit status.

        Raises:
            subprocess.TimeoutExpired: if the command is still running after `timeout` seconds.
        """
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            with self._connection:
                self.returncode = int(self._connection.recv(64))
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the command has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the command."""
        self.send_signal(signal.SIGKILL)


Process = ForkedProcess | subprocess.Popen[bytes]


def start(
    program: Sequence[str],
    arguments: Sequence[Argument],
    streams: tuple[int, int, int],
    env: Mapping[str, str],
    cwd: Path | None = None,
    prepare: Callable[[], None] | None = None,
) -> Process:
    """Start a program with these streams in its own session; in a fork, if possible.

    `prepare` runs before the program, and needs a new process.
    """
    _, option, *module = program
    if prepare is not None or option != "-m" or len(module) != 1 or not _can_fork(env):
        stdin, stdout, stderr = streams
        return subprocess.Popen(
            [*program, *arguments],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=dict(env),
            cwd=cwd,
            preexec_fn=prepare,
            start_new_session=True,
        )
    request = {
        "module": module[0],
        "arguments": [os.fsdecode(argument) for argument in arguments],
        "env": dict(env),
        "cwd": str(cwd or Path.cwd()),
    }
    local, remote = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with remote:
        socket.send_fds(_server(), [json.dumps(request).encode()], [remote.fileno(), *streams])
    return ForkedProcess(int(local.recv(64)), local)


def start_with_pipes(
    program: Sequence[str], arguments: Sequence[Argument], env: Mapping[str, str]
) -> tuple[Process, IO[str], IO[str]]:
    """Start a program; return it with pipes of its standard output and standard error."""
    (out, out_end), (err, err_end) = os.pipe(), os.pipe()
    with Path(os.devnull).open("rb") as stdin:
        process = start(program, arguments, (stdin.fileno(), out_end, err_end), env)
    os.close(out_end)
    os.close(err_end)
    return process, os.fdopen(out), os.fdopen(err)


def run(
    program: Sequence[str],
    arguments: Sequence[Argument],
    env: Mapping[str, str],
    *,
    stdin: bytes = b"",
    cwd: Path | None = None,
    timeout_s: float = 120,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, with pipes as streams; kill it after the time limit."""
    pipes = [os.pipe() for _ in range(3)]
    child_ends = pipes[0][0], pipes[1][1], pipes[2][1]
    process = start(program, arguments, child_ends, env, cwd)
    for descriptor in child_ends:
        os.close(descriptor)

    def write() -> None:
        with suppress(BrokenPipeError), os.fdopen(pipes[0][1], "wb") as stream:
            stream.write(stdin)

    def read(descriptor: int) -> bytes:
        with os.fdopen(descriptor, "rb") as stream:
            return stream.read()

    timer = threading.Timer(timeout_s, process.kill)
    timer.start()
    with ThreadPoolExecutor(3) as pool:
        pool.submit(write)
        outputs = list(pool.map(read, (pipes[1][0], pipes[2][0])))
    status = process.wait()
    timer.cancel()
    return subprocess.CompletedProcess(list(arguments), status, *outputs)


def _can_fork(env: Mapping[str, str]) -> bool:
    """Return whether a fork would see each variable as a new process would."""
    server_env = _environment()
    new = {name for name, value in env.items() if server_env.get(name) != value}
    if "PYTHONPATH" in new:
        new.remove("PYTHONPATH")  # `_run` applies it
        if any(Path(folder, "sitecustomize.py").exists() for folder in _python_path(env)):
            return False
    return sys.platform == "linux" and not any(name.startswith(_READ_AT_START) for name in new)


def _python_path(env: Mapping[str, str]) -> list[str]:
    """Return the folders in PYTHONPATH."""
    return [folder for folder in env.get("PYTHONPATH", "").split(os.pathsep) if folder]


def _environment() -> dict[str, str]:
    """Return the environment of the server process: one thread."""
    inherited = {key: v for key, v in os.environ.items() if not key.startswith("HIFIGAN_")}
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return {**inherited, **one_thread, "PYTHONPATH": str(_ROOT)}


@cache
def _server() -> socket.socket:
    """Start the server process; it ends when this process ends."""
    local, remote = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with remote:
        process = subprocess.Popen(
            [sys.executable, "-c", _CODE],
            stdin=remote.fileno(),
            cwd=_ROOT,
            env=_environment(),
            start_new_session=True,
        )

    def stop() -> None:
        local.close()
        process.wait()

    atexit.register(stop)
    return local


def serve() -> None:
    """Fork for each request on file descriptor 0, until it is closed."""
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
            _supervise(message, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        while _reap():
            pass


def _reap() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] > 0
    except ChildProcessError:
        return False


def _supervise(message: bytes, descriptors: Sequence[int]) -> NoReturn:
    """Fork the command; send its process ID and, when it ends, its status."""
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


def read_untrusted_in_fork(_command: Any, *, input: bytes, **_options: Any) -> None:  # noqa: A002
    """Run the reader of untrusted files in a fork instead of a subprocess."""
    child = os.fork()
    if child == 0:
        try:
            sys.stdin = io.StringIO(input.decode())
            untrusted_child.main()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def _run(message: bytes, descriptors: Sequence[int]) -> NoReturn:
    """Run the command with its streams, environment, folder and arguments."""
    request = json.loads(message)
    os.setsid()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.path[:1] = [*_python_path(os.environ), str(_ROOT)]
    reader = SimpleNamespace(**{**vars(subprocess), "run": read_untrusted_in_fork})
    patch.object(untrusted, "subprocess", reader).start()
    sys.argv = ["hifigan", *request["arguments"]]
    status: object = 0
    try:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        status = 1
    # Exit as the interpreter does, but without deallocating all modules, which takes a second.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else 1)
