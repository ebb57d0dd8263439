"""Cases in processes that may crash or hang, and somebody who looks after them."""

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

MOST_SECONDS = 10.0  # of one case
_START_SECONDS = 120.0  # of importing, on a machine that is busy with other tests


@dataclass
class Findings:
    """What became of a range of cases."""

    outcomes: Counter[str] = field(default_factory=Counter)  # "read", or an error's name
    faults: list[str] = field(default_factory=list)  # crashes, hangs, tracebacks, by number
    above_import_mb: int = 0  # the highest peak of memory of any worker
    slowest_s: float = 0.0

    @property
    def cases(self) -> int:
        """How many cases were tried."""
        return sum(self.outcomes.values()) + len(self.faults)

    def __str__(self) -> str:
        told = ", ".join(f"{count} {name}" for name, count in self.outcomes.most_common())
        return (
            f"{self.cases} cases: {told}; {len(self.faults)} faults; "
            f"{self.above_import_mb} MB above the import, the slowest {self.slowest_s:.1f} s"
        )


def watched(kind: str, first: int, last: int, most_s: float = MOST_SECONDS) -> Findings:
    """Try the cases `first` up to, not including, `last`; a crash or a hang costs one of them.

    A case that takes longer than `most_s` hangs.
    """
    findings = Findings()
    while first < last:
        first = _worker(kind, first, last, most_s, findings)
    return findings


def _worker(kind: str, first: int, last: int, most_s: float, findings: Findings) -> int:
    """Run one worker until it ends; return the case to go on with."""
    process, out, err = start_with_pipes(WORKER, [kind, str(first), str(last)], environment())
    lines: queue.Queue[str | None] = queue.Queue()
    errors: list[str] = []
    readers = (
        threading.Thread(target=_read, args=(out, lines), daemon=True),
        threading.Thread(target=_read_errors, args=(err, errors), daemon=True),
    )
    for reader in readers:
        reader.start()
    at = first - 1  # nothing is at hand yet
    try:
        while (line := _next(lines, most_s if at >= first else _START_SECONDS)) is not None:
            word, _, rest = line.partition(" ")
            if word == "case":
                at = int(rest)
            elif word == "outcome":
                findings.outcomes[rest] += 1
            elif word == "fault":
                findings.faults.append(f"{kind} {at}: {rest}")
            elif word == "used":
                megabytes, seconds = rest.split()
                findings.above_import_mb = max(findings.above_import_mb, int(megabytes))
                findings.slowest_s = max(findings.slowest_s, float(seconds))
                at = last
    except TimeoutError:
        findings.faults.append(f"{kind} {at}: no end within {most_s:.0f} s")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for reader in readers:
            reader.join()
    if at == last:
        return last
    if at < first:
        raise RuntimeError(f"the worker did not begin: {''.join(errors)}")
    if not findings.faults or not findings.faults[-1].startswith(f"{kind} {at}:"):
        died = f"the process ended with {process.returncode}: {''.join(errors)[-500:]}"
        findings.faults.append(f"{kind} {at}: {died}")
    return at + 1


def _read(out: IO[str], lines: queue.Queue[str | None]) -> None:
    with out:
        for line in out:
            lines.put(line.rstrip("\n"))
    lines.put(None)


def _read_errors(err: IO[str], errors: list[str]) -> None:
    with err:
        errors.append(err.read())


def _next(lines: queue.Queue[str | None], seconds: float) -> str | None:
    try:
        return lines.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
