"""The process that tries cases: `python -m tests.faults.fuzz.worker KIND FIRST LAST`.

It says on stdout which case it begins (so that a crash has a name) and what became of it. Address
space is limited: what believes an absurd size ends here as a fault, not as a starved machine.
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

_SPACE_BYTES = 3 << 30  # above what the imports take


def main(kind: str, first: int, last: int) -> None:
    """Try a range of cases."""
    faulthandler.enable(sys.stderr)
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # decoders print to it from C
    fuzz = KINDS[kind]()
    before_mb, slowest_s = _peak_mb(), 0.0
    _limit()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, last):
            out.write(f"case {number}\n")
            started = time.monotonic()
            try:
                told = f"outcome {fuzz.attempt(number, Path(folder)) or 'read'}"
            except HifiganError as error:
                told = f"outcome {type(error).__name__}"
                if not error.message or "Traceback" in error.message:
                    told = f"fault an error that says nothing: {error!r}"
            except BaseException as error:  # noqa: BLE001 - that is what is looked for
                place = traceback.extract_tb(error.__traceback__)[-1]
                where = f"{place.filename}:{place.lineno}"
                told = f"fault {type(error).__name__} at {where}: {error}".replace("\n", " ")[:500]
            slowest_s = max(slowest_s, time.monotonic() - started)
            out.write(f"{told}\n")
    out.write(f"used {_peak_mb() - before_mb} {slowest_s:.3f}\n")


def _peak_mb() -> int:
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes // (1 << 20 if sys.platform == "darwin" else 1 << 10)


def _limit() -> None:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return
    space = pages * resource.getpagesize() + _SPACE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (space, space))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
