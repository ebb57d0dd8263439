"""Run cases in worker processes that may crash or hang."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import IO

from tests.forkserver import start_with_pipes
from tests.helpers import environment

WORKER = (sys.executable, "-m", "tests.faults.fuzz.worker")

MAX_CASE_S = 10.0
_START_TIMEOUT_S = 120.0  # for the imports, on a machine that is busy with other tests


@dataclass
class Findings:
    """The results of a range of cases."""

    outcomes: Counter[str] = field(default_factory=Counter)  # "read", or an error's name
    faults: list[str] = field(default_factory=list)  # crashes, hangs and tracebacks
    above_import_mb: int = 0  # the highest peak memory of a worker
    slowest_s: float = 0.0

    @property
    def cases(self) -> int:
        """Number of cases that have run."""
        return sum(self.outcomes.values()) + len(self.faults)

    def __str__(self) -> str:
        outcomes = ", ".join(f"{count} {name}" for name, count in self.outcomes.most_common())
        return (
            f"{self.cases} cases: {outcomes}; {len(self.faults)} faults; "
            f"{self.above_import_mb} MB above the import, the slowest {self.slowest_s:.1f} s"
        )


def run_cases(kind: str, first: int, stop: int, max_case_s: float = MAX_CASE_S) -> Findings:
    """Run the cases from `first` to `stop - 1`; a crash or a hang only affects its case.

    A case hangs if it takes longer than `max_case_s`.
    """
    findings = Findings()
    while first < stop:
        first = _run_worker(kind, first, stop, max_case_s, findings)
    return findings


def _run_worker(kind: str, first: int, stop: int, max_case_s: float, findings: Findings) -> int:
    """Run one worker until it ends; return the case to continue with."""
    process, out, err = start_with_pipes(WORKER, [kind, str(first), str(stop)], environment())
    lines: queue.Queue[str | None] = queue.Queue()
    errors: list[str] = []
    readers = (
        threading.Thread(target=_read_lines, args=(out, lines), daemon=True),
        threading.Thread(target=_read_errors, args=(err, errors), daemon=True),
    )
    for reader in readers:
        reader.start()
    current = first - 1  # no case has started yet
    try:
        while (
            line := _next_line(lines, max_case_s if current >= first else _START_TIMEOUT_S)
        ) is not None:
            keyword, _, rest = line.partition(" ")
            if keyword == "case":
                current = int(rest)
            elif keyword == "outcome":
                findings.outcomes[rest] += 1
            elif keyword == "fault":
                findings.faults.append(f"{kind} {current}: {rest}")
            elif keyword == "used":
                megabytes, seconds = rest.split()
                findings.above_import_mb = max(findings.above_import_mb, int(megabytes))
                findings.slowest_s = max(findings.slowest_s, float(seconds))
                current = stop
    except TimeoutError:
        findings.faults.append(f"{kind} {current}: still running after {max_case_s:.0f} s")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for reader in readers:
            reader.join()
    if current == stop:
        return stop
    if current < first:
        raise RuntimeError(f"the worker did not start: {''.join(errors)}")
    if not findings.faults or not findings.faults[-1].startswith(f"{kind} {current}:"):
        message = f"the process ended with {process.returncode}: {''.join(errors)[-500:]}"
        findings.faults.append(f"{kind} {current}: {message}")
    return current + 1


def _read_lines(out: IO[str], lines: queue.Queue[str | None]) -> None:
    with out:
        for line in out:
            lines.put(line.rstrip("\n"))
    lines.put(None)


def _read_errors(err: IO[str], errors: list[str]) -> None:
    with err:
        errors.append(err.read())


def _next_line(lines: queue.Queue[str | None], timeout_s: float) -> str | None:
    try:
        return lines.get(timeout=timeout_s)
    except queue.Empty:
        raise TimeoutError from None
