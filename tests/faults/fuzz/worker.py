"""Run cases in a process: `python -m tests.faults.fuzz.worker KIND FIRST STOP`.

It prints the number of each case before it starts (so that a crash can be assigned to it) and its
outcome after it. The address space is limited, so that a reader that believes an absurd size causes
a fault and does not exhaust the machine's memory.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import sys
import tempfile
import time
import traceback
from pathlib import Path

from hifigan_cli.errors import HifiganError
from tests.faults.fuzz.kinds import KINDS

_MAX_BYTES = 3 << 30  # above the address space of the imports


def main(kind: str, first: int, stop: int) -> None:
    """Run a range of cases."""
    faulthandler.enable(sys.stderr)
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # decoders in C print to it
    cases = KINDS[kind]()
    before_mb, slowest_s = _peak_mb(), 0.0
    _limit_memory()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, stop):
            out.write(f"case {number}\n")
            started = time.monotonic()
            try:
                outcome = f"outcome {cases.run_case(number, Path(folder)) or 'read'}"
            except HifiganError as error:
                outcome = f"outcome {type(error).__name__}"
                if not error.message or "Traceback" in error.message:
                    outcome = f"fault invalid error message: {error!r}"
            except BaseException as error:  # noqa: BLE001 - any other error is a fault
                frame = traceback.extract_tb(error.__traceback__)[-1]
                where = f"{frame.filename}:{frame.lineno}"
                outcome = f"fault {type(error).__name__} at {where}: {error}".replace("\n", " ")[
                    :500
                ]
            slowest_s = max(slowest_s, time.monotonic() - started)
            out.write(f"{outcome}\n")
    out.write(f"used {_peak_mb() - before_mb} {slowest_s:.3f}\n")


def _peak_mb() -> int:
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes // (1 << 20 if sys.platform == "darwin" else 1 << 10)


def _limit_memory() -> None:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return
    limit = pages * resource.getpagesize() + _MAX_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
