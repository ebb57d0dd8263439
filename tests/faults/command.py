"""The command line in a subprocess, with what it printed, its exit code and its peak of memory."""

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

from tests.faults.circumstances import Prepare
from tests.faults.matrix import EXIT_CODES
from tests.forkserver import HIFIGAN, Process, Word, start
from tests.helpers import environment


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str
    peak_bytes: int

    @property
    def events(self) -> list[dict[str, Any]]:
        """The objects of its `--json` output."""
        return [json.loads(line) for line in self.out.splitlines()]

    def told(self, event: str) -> dict[str, Any]:
        """Return the last object of one kind."""
        return [told for told in self.events if told["event"] == event][-1]

    @property
    def failed(self) -> dict[str, int]:
        """The exit code of each file of a batch that failed, by name."""
        return {
            Path(entry["source"]).name: entry["exit_code"]
            for entry in self.told("summary")["failed"]
        }


class Command:
    """Runs commands; every one must end in a known exit code and without a traceback."""

    def __init__(self, saw: Callable[[int], None]) -> None:
        self._saw = saw

    def __call__(
        self,
        *words: Word,
        program: tuple[str, ...] = HIFIGAN,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        prepare: Prepare | None = None,
        timeout_s: float = 100,
    ) -> Ended:
        """Run a command to its end."""
        with (
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
            Path(os.devnull).open("rb") as nothing,
        ):
            streams = nothing.fileno(), out.fileno(), err.fileno()
            process = start(program, words, streams, environment(env), cwd, prepare)
            status, peak_bytes = _wait(process, timeout_s)
            texts = [_text(stream) for stream in (out, err)]
        ended = Ended(status, texts[0], texts[1], peak_bytes)
        self.check(ended.code, ended.err)
        return ended

    def check(self, code: int, err: str) -> None:
        """Check what holds for every command; take note of its exit code."""
        assert "Traceback" not in err, err
        assert "a bug in hifigan" not in err, err
        assert code in EXIT_CODES, (code, err)
        self._saw(code)

    def refused(self, code: int, *words: Word, **options: Any) -> str:
        """Run a command that must end with a code and one error; return what it said."""
        ended = self(*words, **options)
        assert ended.code == code, (ended.code, ended.err)
        errors = re.findall(r"^error: .+", ended.err, re.MULTILINE)
        assert len(errors) == 1, ended.err
        return ended.err

    def done(self, *words: Word, **options: Any) -> Ended:
        """Run a command that must end well."""
        ended = self(*words, **options)
        assert ended.code == 0, ended.err
        return ended


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode(errors="backslashreplace")


def _wait(process: Process, timeout_s: float) -> tuple[int, int]:
    """Wait for a process; return its status and its peak of memory in bytes.

    What the system says of an ended child counts this process's memory too, from before the child
    became another program; so the peak is looked at while it lives. After the time limit it is
    killed, and that is a failure.
    """
    deadline = time.monotonic() + timeout_s
    peak_bytes = 0
    while True:
        peak_bytes = _peak_bytes(process.pid) or peak_bytes
        status = process.poll()
        if status is not None:
            return status, peak_bytes
        if time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise TimeoutError(f"no end after {timeout_s} s: {process}")
        time.sleep(0.005)


def _peak_bytes(pid: int) -> int:
    """Return the most memory that a living process has had, or 0 where nothing says it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) << 10 if found else 0
