"""The entry point: run a command, and turn whatever ends it into an exit code."""

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


# What has no class of its own is known by its words.
_MEMORY_WORDS = (
    "can't allocate memory",  # torch's CPU allocator: RuntimeError
    "annot allocate memory",  # the system and the loader of libraries: OSError, ImportError
    "failed to map segment",  # that loader
    "CUDA error: out of memory",  # AcceleratorError, as any other fault of a GPU
    "STATUS_ALLOC_FAILED",  # cuBLAS and cuDNN: RuntimeError
)
_GPU_WORDS = ("CUDA error", "CUDA driver", "cuDNN error")  # cuBLAS, start-up, cuDNN: RuntimeError


def main() -> NoReturn:
    """Run the command line of this process and leave with its exit code."""
    code = run(sys.argv[1:])
    if "LOCAL_RANK" in os.environ:
        # Under torchrun. torch's background threads, when Python takes the process apart, now and
        # then abort one whose work is done, and torchrun would take that for a failure.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command; return the exit code of the table in `hifigan_cli.errors`."""
    console = Console(json="--json" in arguments)
    # File names may be any bytes; what is no text is shown by its codes.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if "" in arguments:  # as a path it would be the current folder
        unset = "a variable of the shell is not set, perhaps"
        return _fail(console, UsageError("an argument is empty", unset))
    # A command that is stopped unwinds, so that temporaries are removed.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        code = app(list(arguments), prog_name="hifigan", standalone_mode=False)
        sys.stdout.flush()
    except HifiganError as error:
        return _fail(console, error)
    except (BrokenPipeError, SystemExit) as error:
        # typer and rich leave by SystemExit on a closed pipe
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            return error.code if isinstance(error.code, int) else int(error.code is not None)
        # The reader has gone. Python would complain again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - the last place that can turn a bug into one line
        return _fail(console, _translate(error, arguments))
    return code if isinstance(code, int) else 0


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    words = "interrupted" if number == signal.SIGINT else "terminated"
    raise InterruptedRunError(words, number)


def _fail(console: Console, error: HifiganError) -> int:
    if not error.message:  # `hifigan` without a command: typer has printed the help
        return error.exit_code
    if os.environ.get("HIFIGAN_DEBUG") == "1" and sys.exc_info()[0]:
        console.stderr.print_exception()
    console.error(error)
    return error.exit_code


def _translate(error: Exception, arguments: Sequence[str]) -> HifiganError:
    """Give an exception from below a place in the tree."""
    # typer's own usage errors; it vendors click, so the class cannot be named.
    if hasattr(error, "format_message") and getattr(error, "exit_code", 0) == UsageError.exit_code:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "hifigan"
        files = (word for word in arguments if word.startswith("-") and os.path.lexists(word))
        meant = next((f"the file is ./{word}" for word in files), f"see `{command} --help`")
        return UsageError(error.format_message(), meant)
    summary = str(error).partition("\n")[0]
    memory = isinstance(error, MemoryError) or _is_of_torch(error, "OutOfMemoryError")
    if memory or any(words in summary for words in _MEMORY_WORDS):
        hint = "lower --chunk or batch_size, cut what is long, or use another device"
        return DeviceError(f"out of memory: {summary}", hint)
    if _is_of_torch(error, "AcceleratorError") or summary.startswith(_GPU_WORDS):
        hint = "`hifigan doctor` shows what torch sees; --device cpu does without the GPU"
        return DeviceError(f"the GPU failed: {summary}", hint)
    return HifiganError(
        f"a bug in hifigan: {type(error).__name__}: {summary}",
        "HIFIGAN_DEBUG=1 shows where; please report it",
    )


def _is_of_torch(error: Exception, kind: str) -> bool:
    torch = sys.modules.get("torch")  # one that is not loaded has raised nothing
    return torch is not None and isinstance(error, getattr(torch, kind))
