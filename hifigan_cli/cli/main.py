"""The entry point: run a command, and turn every exception into an exit code."""

from __future__ import annotations

import io
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from hifigan_cli.cli.app import app
from hifigan_cli.cli.console import Console
from hifigan_cli.errors import DeviceError, HifiganError, InterruptedRunError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType


# These errors have no exception class of their own, so their messages identify them.
_OUT_OF_MEMORY_TEXTS = (
    "can't allocate memory",  # torch's CPU allocator: RuntimeError
    "annot allocate memory",  # the system and the dynamic linker: OSError, ImportError
    "failed to map segment",  # the dynamic linker
    "CUDA error: out of memory",  # AcceleratorError, like every other GPU error
    "STATUS_ALLOC_FAILED",  # cuBLAS and cuDNN: RuntimeError
)
# RuntimeErrors of cuBLAS, of the CUDA start-up and of cuDNN.
_GPU_ERROR_PREFIXES = ("CUDA error", "CUDA driver", "cuDNN error")


def main() -> NoReturn:
    """Run the command line of this process and exit with its exit code."""
    code = run(sys.argv[1:])
    if "LOCAL_RANK" in os.environ:
        # Under torchrun: torch's background threads sometimes abort a finished process during
        # Python's shutdown, and torchrun would report that as a failure.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command; return its exit code, see the table in `hifigan_cli.errors`."""
    console = Console(json="--json" in arguments)
    # File names may contain any bytes; bytes that are not text are printed as escapes.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if "" in arguments:  # as a path, it would be the current folder
        hint = "check that the shell variables in the command are set"
        return _fail(console, UsageError("an argument is empty", hint))
    # A signal raises an exception, so that temporary files are removed.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        code = app(list(arguments), prog_name="hifigan", standalone_mode=False)
        sys.stdout.flush()
    except HifiganError as error:
        return _fail(console, error)
    except (BrokenPipeError, SystemExit) as error:
        # typer and rich raise SystemExit on a closed pipe
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            return error.code if isinstance(error.code, int) else int(error.code is not None)
        # The pipe is closed, and Python would raise again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - reports a bug as two lines, not as a traceback
        return _fail(console, _translate(error, arguments))
    return code if isinstance(code, int) else 0


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    message = "interrupted" if number == signal.SIGINT else "terminated"
    raise InterruptedRunError(message, number)


def _fail(console: Console, error: HifiganError) -> int:
    if not error.message:  # `hifigan` without a command: typer has already printed the help
        return error.exit_code
    if os.environ.get("HIFIGAN_DEBUG") == "1" and sys.exc_info()[0]:
        console.stderr.print_exception()
    console.error(error)
    return error.exit_code


def _translate(error: Exception, arguments: Sequence[str]) -> HifiganError:
    """Convert any exception into a `HifiganError`."""
    # A usage error of typer, which vendors click, so its class cannot be imported.
    if hasattr(error, "format_message") and getattr(error, "exit_code", 0) == UsageError.exit_code:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "hifigan"
        files = (name for name in arguments if name.startswith("-") and os.path.lexists(name))
        hint = next((f"write the file as ./{name}" for name in files), f"see `{command} --help`")
        return UsageError(error.format_message(), hint)
    summary = str(error).partition("\n")[0]
    memory = isinstance(error, MemoryError) or _is_torch_error(error, "OutOfMemoryError")
    if memory or any(text in summary for text in _OUT_OF_MEMORY_TEXTS):
        hint = "lower --chunk or batch_size, split long files, or use another device"
        return DeviceError(f"out of memory: {summary}", hint)
    if _is_torch_error(error, "AcceleratorError") or summary.startswith(_GPU_ERROR_PREFIXES):
        hint = "run `hifigan doctor` to check the GPU, or use --device cpu"
        return DeviceError(f"the GPU failed: {summary}", hint)
    return HifiganError(
        f"a bug in hifigan: {type(error).__name__}: {summary}",
        "run it with HIFIGAN_DEBUG=1 to see the traceback, and please report it",
    )


def _is_torch_error(error: Exception, class_name: str) -> bool:
    torch = sys.modules.get("torch")  # if torch is not imported, the error is not from torch
    return torch is not None and isinstance(error, getattr(torch, class_name))
