"""Kill a command at random moments and restart it, until it has finished.

The moments depend on the seed. The last run is not killed, and its result must equal that of an
uninterrupted run.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from tests.forkserver import Process, start
from tests.helpers import environment


def kill_repeatedly(
    program: Sequence[str],
    args: Sequence[str | Path],
    out: Path,
    has_progress: Callable[[], bool],
    check: Callable[[], None],
    is_unfinished: Callable[[], bool],
    *,
    kills: int,
    max_delay_s: float,
    seed: int,
) -> None:
    """Kill a running command `kills` times, each up to `max_delay_s` after `has_progress`.

    `check` checks the files in `out` after each kill. A kill only counts if it left work
    unfinished; a command that finished first starts again with an empty `out`, and another moment.
    The last run ends by itself.
    """
    rng = np.random.default_rng(seed)
    killed = late = 0
    while killed < kills:
        was_killed = _run_and_kill(program, args, has_progress, float(rng.uniform(0, max_delay_s)))
        check()
        if was_killed and is_unfinished():
            killed += 1
            continue
        late += 1
        assert late <= 2 * kills + 5, f"{killed} of {kills} kills were in time, {late} too late"
        shutil.rmtree(out)
        check()
    with tempfile.TemporaryFile() as errors:
        assert _start(program, args, errors).wait(200) == 0, _read_text(errors)
    check()


def _start(program: Sequence[str], args: Sequence[str | Path], errors: IO[bytes]) -> Process:
    with Path(os.devnull).open("r+b") as devnull:
        streams = devnull.fileno(), devnull.fileno(), errors.fileno()
        return start(program, args, streams, environment())


def _read_text(errors: IO[bytes]) -> str:
    errors.seek(0)
    return errors.read().decode()


def _run_and_kill(
    program: Sequence[str],
    args: Sequence[str | Path],
    has_progress: Callable[[], bool],
    delay_s: float,
) -> bool:
    with tempfile.TemporaryFile() as errors:
        run = _start(program, args, errors)
        deadline = time.monotonic() + 200
        while not has_progress() and run.poll() is None:
            if time.monotonic() > deadline:
                os.killpg(run.pid, signal.SIGKILL)
                raise TimeoutError(f"no progress in 200 s: {args}")
            time.sleep(0.002)
        end = time.monotonic() + delay_s
        while run.poll() is None and time.monotonic() < end:
            time.sleep(0.002)
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
        code = run.wait(60)
        assert code in (0, -signal.SIGKILL), _read_text(errors)
    return code != 0
