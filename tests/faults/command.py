"""Run the command line in a subprocess; return its output, exit code and peak memory."""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.faults.limits import Prepare
from tests.faults.matrix import EXIT_CODES
from tests.forkserver import HIFIGAN, Argument, Process, start
from tests.helpers import environment


@dataclass(frozen=True)
class CommandResult:
    """The output, exit code and peak memory of a command."""

    exit_code: int
    stdout: str
    stderr: str
    peak_bytes: int

    @property
    def events(self) -> list[dict[str, Any]]:
        """The objects of its `--json` output."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    def last_event(self, event: str) -> dict[str, Any]:
        """Return the last event of this kind."""
        return [e for e in self.events if e["event"] == event][-1]

    @property
    def failed(self) -> dict[str, int]:
        """The exit code of each failed file of a batch, by name."""
        return {
            Path(entry["source"]).name: entry["exit_code"]
            for entry in self.last_event("summary")["failed"]
        }


class Command:
    """Runs commands; each must end with a known exit code and without a traceback."""

    def __init__(self, record_exit_code: Callable[[int], None]) -> None:
        self._record_exit_code = record_exit_code

    def __call__(
        self,
        *args: Argument,
        program: tuple[str, ...] = HIFIGAN,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        prepare: Prepare | None = None,
        timeout_s: float = 100,
    ) -> CommandResult:
        """Run a command and wait for its end."""
        with (
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
            Path(os.devnull).open("rb") as devnull,
        ):
            streams = devnull.fileno(), out.fileno(), err.fileno()
            process = start(program, args, streams, environment(env), cwd, prepare)
            exit_code, peak_bytes = _wait(process, timeout_s)
            result = CommandResult(exit_code, _read_text(out), _read_text(err), peak_bytes)
        self.check(result.exit_code, result.stderr)
        return result

    def check(self, exit_code: int, stderr: str) -> None:
        """Check the exit code and output of any command; record the exit code."""
        assert "Traceback" not in stderr, stderr
        assert "a bug in hifigan" not in stderr, stderr
        assert exit_code in EXIT_CODES, (exit_code, stderr)
        self._record_exit_code(exit_code)

    def expect_error(self, code: int, *args: Argument, **options: Any) -> str:
        """Run a command that must end with an exit code and one error; return its stderr."""
        result = self(*args, **options)
        assert result.exit_code == code, (result.exit_code, result.stderr)
        errors = re.findall(r"^error: .+", result.stderr, re.MULTILINE)
        assert len(errors) == 1, result.stderr
        return result.stderr

    def expect_success(self, *args: Argument, **options: Any) -> CommandResult:
        """Run a command that must succeed."""
        result = self(*args, **options)
        assert result.exit_code == 0, result.stderr
        return result


def _read_text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode(errors="backslashreplace")


def _wait(process: Process, timeout_s: float) -> tuple[int, int]:
    """Wait for a process; return its exit code and its peak memory in bytes.

    The peak is measured while the process runs, because the resource usage of an ended child also
    counts this process's memory, from before the child started its program. A process that exceeds
    the timeout is killed, and the test fails.
    """
    deadline = time.monotonic() + timeout_s
    peak_bytes = 0
    while True:
        peak_bytes = _peak_bytes(process.pid) or peak_bytes
        exit_code = process.poll()
        if exit_code is not None:
            return exit_code, peak_bytes
        if time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise TimeoutError(f"still running after {timeout_s} s: {process}")
        time.sleep(0.005)


def _peak_bytes(pid: int) -> int:
    """Return the peak memory of a running process, or 0 if it is unknown."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(match[1]) << 10 if match else 0
